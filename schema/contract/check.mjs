// Compares the schema that is served, whose introspection result comes on standard input, with contract.graphqls, and
// fails when clients of the contract would notice a difference.
import { readFileSync } from 'node:fs';
import { buildClientSchema, buildSchema, findBreakingChanges, findDangerousChanges } from 'graphql';

const contract = buildSchema(readFileSync(new URL('contract.graphqls', import.meta.url), 'utf8'));
const served = buildClientSchema(JSON.parse(readFileSync(0, 'utf8')).data);

// A default value is part of what the contract fixes, although GraphQL does not count its change as breaking.
const defaults = findDangerousChanges(contract, served).filter(({ type }) => type === 'ARG_DEFAULT_VALUE_CHANGE');
const problems = [...findBreakingChanges(contract, served), ...defaults].map(
  ({ type, description }) => `breaks the contract: ${type}: ${description}`,
);

for (const problem of problems) {
  console.error(problem);
}
process.exitCode = problems.length > 0 ? 1 : 0;
