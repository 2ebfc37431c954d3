// Compares the schema that is served, whose introspection result comes on standard input, with contract.graphqls, and
// fails when clients of the contract would notice a difference that is not expected.
import { readFileSync } from 'node:fs';
import { buildClientSchema, buildSchema, findBreakingChanges, findDangerousChanges } from 'graphql';

// What the contract has and the schema does not serve yet.
const expected = [
  'FIELD_REMOVED: PodLogsInput.after was removed.',
  'VALUE_REMOVED_FROM_ENUM: RESUMED was removed from enum type LogNoticeKind.',
  'VALUE_REMOVED_FROM_ENUM: GAP was removed from enum type LogNoticeKind.',
  'VALUE_REMOVED_FROM_ENUM: DROPPED was removed from enum type LogNoticeKind.',
];

const contract = buildSchema(readFileSync(new URL('contract.graphqls', import.meta.url), 'utf8'));
const served = buildClientSchema(JSON.parse(readFileSync(0, 'utf8')).data);

// A default value is part of what the contract fixes, although GraphQL does not count its change as breaking.
const defaults = findDangerousChanges(contract, served).filter(({ type }) => type === 'ARG_DEFAULT_VALUE_CHANGE');
const found = [...findBreakingChanges(contract, served), ...defaults].map(
  ({ type, description }) => `${type}: ${description}`,
);

const problems = [
  ...found.filter((change) => !expected.includes(change)).map((change) => `breaks the contract: ${change}`),
  ...expected.filter((change) => !found.includes(change)).map((change) => `expected, but not so any more: ${change}`),
];
for (const problem of problems) {
  console.error(problem);
}
process.exitCode = problems.length > 0 ? 1 : 0;
