-- A database as the service of 2026-11-28 left it, which applied its migrations as 1 2 4 5 6 3 7: pg_dump --inserts --no-owner
CREATE TABLE public.dead_letters (
    id bigint NOT NULL,
    consumer text NOT NULL,
    message_id text NOT NULL,
    body jsonb NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    died_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE public.dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.transaction_keys (
    key text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT transaction_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);
CREATE TABLE public.user_activity (
    user_id uuid NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    CONSTRAINT user_activity_version_check CHECK ((version > 0))
);
CREATE TABLE public.user_events (
    id bigint NOT NULL,
    user_id uuid NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    traceparent text DEFAULT NULLIF(current_setting('user_service.traceparent'::text, true), ''::text),
    CONSTRAINT user_events_version_check CHECK ((version > 0))
);
ALTER TABLE public.user_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.user_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.users (
    id uuid NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users_version_check CHECK ((version > 0))
);
INSERT INTO public.dead_letters OVERRIDING SYSTEM VALUE VALUES (1, 'activity', 'x:1', '{"a": 1}', 'boom', 5, '2026-11-28 04:49:26.505084+00');
INSERT INTO public.migrations VALUES ('0001_users', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.migrations VALUES ('0002_user_events', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.migrations VALUES ('0004_transaction_keys', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.migrations VALUES ('0005_user_events_traceparent', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.migrations VALUES ('0006_transaction_keys_index', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.migrations VALUES ('0003_queue', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.migrations VALUES ('0007_no_inbox', '2026-11-28 04:49:06.280944+00');
INSERT INTO public.transaction_keys VALUES ('activity k1', '2026-11-28 04:49:26.509068+00');
INSERT INTO public.user_activity VALUES ('01a2207c-6294-7077-bf8b-e96149c617ad', 1, 'user.created', '2026-11-28 04:49:12.362411+00');
INSERT INTO public.user_events OVERRIDING SYSTEM VALUE VALUES (1, '01a2207c-6294-7077-bf8b-e96149c617ad', 1, 'user.created', '{"name": "User 1", "email": "u1@example.com"}', '2026-11-28 04:49:12.362411+00', 0, '2026-11-28 04:49:12.362411+00', NULL);
INSERT INTO public.user_events OVERRIDING SYSTEM VALUE VALUES (2, '01a2207c-62cb-7600-817b-6238010b1530', 1, 'user.created', '{"name": "User 2", "email": "u2@example.com"}', '2026-11-28 04:49:12.397062+00', 0, '2026-11-28 04:49:12.397062+00', NULL);
INSERT INTO public.users VALUES ('01a2207c-6294-7077-bf8b-e96149c617ad', 'u1@example.com', 'User 1', 1, '2026-11-28 04:49:12.362411+00', '2026-11-28 04:49:12.362411+00');
INSERT INTO public.users VALUES ('01a2207c-62cb-7600-817b-6238010b1530', 'u2@example.com', 'User 2', 1, '2026-11-28 04:49:12.397062+00', '2026-11-28 04:49:12.397062+00');
SELECT pg_catalog.setval('public.dead_letters_id_seq', 1, true);
SELECT pg_catalog.setval('public.user_events_id_seq', 2, true);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_consumer_message_id_key UNIQUE (consumer, message_id);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.transaction_keys
    ADD CONSTRAINT transaction_keys_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.user_activity
    ADD CONSTRAINT user_activity_pkey PRIMARY KEY (user_id, version);
ALTER TABLE ONLY public.user_events
    ADD CONSTRAINT user_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.user_events
    ADD CONSTRAINT user_events_user_id_version_key UNIQUE (user_id, version);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
CREATE INDEX transaction_keys_created_at ON public.transaction_keys USING btree (created_at);
CREATE INDEX user_events_due_at ON public.user_events USING btree (due_at, id);
CREATE UNIQUE INDEX users_email_key ON public.users USING btree (lower(email));
