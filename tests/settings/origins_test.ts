import { assertEquals } from "@std/assert";
import * as v from "valibot";
import { origins } from "../../src/settings/origins.ts";

Deno.test("CORS_ORIGINS takes origins as browsers send them, or * alone", () => {
  const taken = {
    "*": ["*"],
    "https://a.example": ["https://a.example"],
    "https://a.example,http://localhost:5173 , http://[::1]:8080": [
      "https://a.example",
      "http://localhost:5173",
      "http://[::1]:8080",
    ],
    "https://xn--bcher-kva.example": ["https://xn--bcher-kva.example"],
  };
  for (const [text, list] of Object.entries(taken)) assertEquals(v.parse(origins(), text), list);
});

Deno.test("CORS_ORIGINS refuses what no browser sends as an origin", () => {
  for (
    const text of [
      "null",
      "a.example",
      "https://a.example/",
      "https://a.example/path",
      "https://A.example",
      "https://a.example:443",
      "http://a.example:80",
      "https://user@a.example",
      "https://*.example.com",
      "https://bücher.example",
      "*,https://a.example",
      "https://a.example,",
      ",",
      "file:///etc",
      "https://a.example?x",
      "https://a.example;https://b.example",
    ]
  ) assertEquals(v.safeParse(origins(), text).success, false, text);
});
