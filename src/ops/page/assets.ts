/** The page's files, imported as text. */
import uplotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uplotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import page from "./page.html" with { type: "text" };
import latency from "./latency.js" with { type: "text" };
import plots from "./plots.js" with { type: "text" };
import script from "./page.js" with { type: "text" };
import signIn from "./sign_in.html" with { type: "text" };
import style from "./page.css" with { type: "text" };
import sharedStyle from "../../pages.css" with { type: "text" };
import tables from "./tables.js" with { type: "text" };

export const PAGE: string = page;
export const SIGN_IN: string = signIn;

export interface Asset {
  readonly type: string;
  readonly text: string;
}

const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

/** By the last segment of their address. */
export const ASSETS: Readonly<Record<string, Asset>> = {
  "uplot.js": { type: SCRIPT, text: uplotScript },
  "uplot.css": { type: STYLE, text: uplotStyle },
  "page.js": { type: SCRIPT, text: script },
  "latency.js": { type: SCRIPT, text: latency },
  "plots.js": { type: SCRIPT, text: plots },
  "tables.js": { type: SCRIPT, text: tables },
  "page.css": { type: STYLE, text: sharedStyle + style },
};
