import type { Migration } from "./apply.ts";

/**
 * The letters of Latin, Greek, Cyrillic and Armenian script that have another case, and under each the other case: the
 * simple case folding of Unicode, https://www.unicode.org/Public/UCD/latest/ucd/CaseFolding.txt. Not `lower`, which for
 * letters beyond ASCII depends on the database's collation.
 */
const UPPER =
  "µÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĲĴĶĹĻĽĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴ" +
  "ŶŸŹŻŽſƁƂƄƆƇƉƊƋƎƏƐƑƓƔƖƗƘƜƝƟƠƢƤƦƧƩƬƮƯƱƲƳƵƷƸƼǄǅǇǈǊǋǍǏǑǓǕǗǙǛǞǠǢǤǦǨǪǬǮǱǲǴǶǷǸǺǼǾȀȂȄȆȈȊȌȎȐȒȔȖȘȚ" +
  "ȜȞȠȢȤȦȨȪȬȮȰȲȺȻȽȾɁɃɄɅɆɈɊɌɎͅͰͲͶͿΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫςϏϐϑϕϖϘϚϜϞϠϢϤϦϨϪϬϮϰϱϴϵϷϹϺ" +
  "ϽϾϿЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯѠѢѤѦѨѪѬѮѰѲѴѶѸѺѼѾҀҊҌҎҐҒҔҖҘҚҜҞҠҢҤҦҨҪҬҮҰ" +
  "ҲҴҶҸҺҼҾӀӁӃӅӇӉӋӍӐӒӔӖӘӚӜӞӠӢӤӦӨӪӬӮӰӲӴӶӸӺӼӾԀԂԄԆԈԊԌԎԐԒԔԖԘԚԜԞԠԢԤԦԨԪԬԮԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉ" +
  "ՊՋՌՍՎՏՐՑՒՓՔՕՖḀḂḄḆḈḊḌḎḐḒḔḖḘḚḜḞḠḢḤḦḨḪḬḮḰḲḴḶḸḺḼḾṀṂṄṆṈṊṌṎṐṒṔṖṘṚṜṞṠṢṤṦṨṪṬṮṰṲṴṶṸṺṼṾẀẂẄẆẈẊẌẎẐẒẔ" +
  "ẛẞẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸỺỼỾ";
const LOWER =
  "μàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįĳĵķĺļľŀłńņňŋōŏőœŕŗřśŝşšţťŧũūŭůűųŵ" +
  "ŷÿźżžsɓƃƅɔƈɖɗƌǝəɛƒɠɣɩɨƙɯɲɵơƣƥʀƨʃƭʈưʊʋƴƶʒƹƽǆǆǉǉǌǌǎǐǒǔǖǘǚǜǟǡǣǥǧǩǫǭǯǳǳǵƕƿǹǻǽǿȁȃȅȇȉȋȍȏȑȓȕȗșț" +
  "ȝȟƞȣȥȧȩȫȭȯȱȳⱥȼƚⱦɂƀʉʌɇɉɋɍɏιͱͳͷϳάέήίόύώαβγδεζηθικλμνξοπρστυφχψωϊϋσϗβθφπϙϛϝϟϡϣϥϧϩϫϭϯκρθεϸϲϻ" +
  "ͻͼͽѐёђѓєѕіїјљњћќѝўџабвгдежзийклмнопрстуфхцчшщъыьэюяѡѣѥѧѩѫѭѯѱѳѵѷѹѻѽѿҁҋҍҏґғҕҗҙқҝҟҡңҥҧҩҫҭүұ" +
  "ҳҵҷҹһҽҿӏӂӄӆӈӊӌӎӑӓӕӗәӛӝӟӡӣӥӧөӫӭӯӱӳӵӷӹӻӽӿԁԃԅԇԉԋԍԏԑԓԕԗԙԛԝԟԡԣԥԧԩԫԭԯաբգդեզէըթժիլխծկհձղճմյնշոչ" +
  "պջռսվտրցւփքօֆḁḃḅḇḉḋḍḏḑḓḕḗḙḛḝḟḡḣḥḧḩḫḭḯḱḳḵḷḹḻḽḿṁṃṅṇṉṋṍṏṑṓṕṗṙṛṝṟṡṣṥṧṩṫṭṯṱṳṵṷṹṻṽṿẁẃẅẇẉẋẍẏẑẓẕ" +
  "ṡßạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹỻỽỿ";

/** The first parameter of a function, folded. */
export const FOLDED = `case
        when octet_length($1) = char_length($1) then lower($1 collate "C")
        else translate(lower($1 collate "C"), '${UPPER}', '${LOWER}')
      end`;

export const migration: Migration = {
  name: "0009_user_search",
  reason:
    "The running version does not know the columns, so the database fills them. A trigger and an UPDATE of all rows would " +
    "take longer, under the same lock, which the change before holds already.",
  obstacles: {
    // By the form that the new index is of. Addresses are not shown, as this may end up in a log. Row-level security shows
    // the owner the tenant `default` only: the others are new, and the index refuses what is theirs.
    select: `
      select 'users ' || string_agg(id::text, ' and ' order by created_at, id) || ' have one e-mail address'
      from users group by tenant, lower(email collate "C") having count(*) > 1 order by 1 limit 20`,
    wayOut: "change the address of all but one of them, or delete them, and migrate again",
  },
  statements: [
    `create function case_folded(text) returns text language sql immutable parallel safe as $$
      select ${FOLDED} $$`,
    // Columns, as an index on an expression would not be used: lower() is not leakproof, and row-level security lets only
    // leakproof functions see rows of which it does not know whose they are.
    `alter table users
      add column email_key text collate "C" generated always as (lower(email collate "C")) stored,
      add column name_key text collate "C"
        generated always as (case_folded(left(name, 200))) stored`,
    // The name stays, as the running version knows the error by it.
    "create unique index users_tenant_email_key on users (tenant, email_key)",
    "drop index users_email_key",
    "alter index users_tenant_email_key rename to users_email_key",
    "create index users_tenant_created_at on users (tenant, created_at, id)",
    "create index users_tenant_name on users (tenant, name_key, id)",
  ],
};
