import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, it } from "vitest";

const index = fileURLToPath(new URL("../src/index.ts", import.meta.url));

it("documents every export of the library", () => {
  const program = ts.createProgram([index], {
    module: ts.ModuleKind.NodeNext,
    allowImportingTsExtensions: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(index);
  const module = source && checker.getSymbolAtLocation(source);
  const exports = module ? checker.getExportsOfModule(module) : [];
  expect(exports.length).toBeGreaterThan(50);
  const undocumented = exports.filter((symbol) => {
    const original = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return original.getDocumentationComment(checker).length === 0;
  });
  expect(undocumented.map(({ name }) => name)).toEqual([]);
});
