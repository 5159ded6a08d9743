import { expect, it } from "vitest";
import { z } from "zod";
import { zooSchema } from "../../src/cli/zoo.ts";
import * as errors from "../../src/errors.ts";
import { EVENTS_VERSION, eventSchema } from "../../src/events.ts";
import { architectureSchema } from "../../src/network/architecture.ts";
import { scoreSchema } from "../../src/network/policy.ts";
import { resultSchema } from "../../src/run/result.ts";
import { codes, headings, read, rows, section } from "./markdown.ts";

const files = read("docs/files.md");
const schemaOf = (schema: z.ZodType): JsonSchema => jsonSchema.parse(z.toJSONSchema(schema));

interface JsonSchema {
  readonly type?: string | undefined;
  readonly const?: unknown;
  readonly properties?: Record<string, JsonSchema> | undefined;
  readonly items?: JsonSchema | undefined;
}
const jsonSchema: z.ZodType<JsonSchema> = z.lazy(() =>
  z.object({
    type: z.string().optional(),
    const: z.unknown().optional(),
    properties: z.record(z.string(), jsonSchema).optional(),
    // Of a tuple, which has no `items`, the elements have no names.
    items: jsonSchema.optional().catch(undefined),
  }),
);

/** Event types with their own fields: those that all have left out. */
const events = eventSchema.options.map((option) => {
  const { type, step, ...fields } = schemaOf(option).properties ?? {};
  return { type: String(type?.const), step, fields };
});

const documented = (text: string): string[] => rows(text, "field").flatMap(([name]) => codes(name));
const ownText = (heading: string): string => section(section(files, "events.jsonl"), heading);

it.each(events)("docs/files.md has every field of the event $type and no others", ({ type, fields }) => {
  expect(documented(ownText(type))).toEqual(Object.keys(fields));
});

it("docs/files.md has no event that is not in the schema", () => {
  const others = ["Quick score", "Score", "Layer of redundancy", "Architecture"];
  const described = headings(section(files, "events.jsonl")).filter((title) => !others.includes(title));
  expect(described).toEqual(events.map(({ type }) => type));
});

it("docs/files.md has every part of an event", () => {
  const fieldsOf = (type: string, field: string): JsonSchema | undefined =>
    events.find((event) => event.type === type)?.fields[field];
  const keys = (schema: JsonSchema | undefined): string[] => Object.keys(schema?.properties ?? {});
  expect(documented(ownText("Quick score"))).toEqual(keys(fieldsOf("pruned", "score")));
  expect(documented(ownText("Score"))).toEqual(Object.keys(scoreSchema.shape));
  expect(documented(ownText("Layer of redundancy"))).toEqual(keys(fieldsOf("redundancy", "layers")?.items));
  expect(documented(ownText("Architecture"))).toEqual(Object.keys(architectureSchema.shape));
});

it("docs/files.md states the version of the log", () => {
  expect(section(files, "events.jsonl")).toContain(`Version: ${EVENTS_VERSION}, in the first line`);
});

it("docs/files.md has every TensorBoard tag", () => {
  const numbers = (schema: JsonSchema, path: string): string[] => {
    if (schema.type === "number" || schema.type === "integer") return [path];
    return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => numbers(inner, `${path}/${name}`));
  };
  const expected = events
    .filter(({ type }) => type !== "run-started")
    .map(({ type, fields }) => [
      type,
      ...Object.entries(fields)
        .filter(([name]) => !["architecture", "from", "to"].includes(name))
        .flatMap(([name, inner]) => numbers(inner, `${type}/${name}`)),
    ]);
  const table = rows(section(files, "TensorBoard"), "event", "tags");
  expect(table.map(([event, tags]) => [...codes(event), ...codes(tags)])).toEqual(expected);
});

it("docs/files.md has every field of result.json and no others", () => {
  const paths = (schema: JsonSchema, path: string): string[] => {
    if (schema.items) return paths(schema.items, `${path}[]`);
    if (!schema.properties) return [schema.type === "object" ? `${path}.*` : path];
    return Object.entries(schema.properties).flatMap(([name, inner]) => paths(inner, `${path}.${name}`));
  };
  const { properties = {} } = schemaOf(resultSchema);
  const expected = Object.entries(properties).flatMap(([name, inner]) =>
    name === "teacher" || name === "policy" ? [name] : paths(inner, name),
  );
  const side = Object.keys(properties["teacher"]?.properties ?? {});
  expect(Object.keys(properties["policy"]?.properties ?? {})).toEqual(side);
  expect(documented(section(files, "result.json"))).toEqual([...expected, ...side]);
});

it("docs/files.md has every field of the zoo's index and no others", () => {
  expect(documented(section(files, "Zoo"))).toEqual(Object.keys(zooSchema.shape.policies.element.shape));
});

it("docs/files.md has the exit code of every error", () => {
  const expected = Object.entries(errors).flatMap(([name, value]) => {
    if (!("prototype" in value) || !(value.prototype instanceof errors.PopsError)) return [];
    const Kind = value as new (place: string, message: string) => errors.PopsError;
    return [[new Kind("place", "message").exitCode, name] as const];
  });
  const table = rows(section(files, "Exit codes"), "code", "error").map(([code, error]) => [
    Number(code),
    ...codes(error),
  ]);
  expect(table.filter(({ length }) => length > 1)).toEqual(expected);
});
