// The operations of the examples. Relay has its own copy, because its compiler reads them from the code.
export const ACTIVE = `query Active { activePulls { id phase progress { percent } } }`;

export const START = `mutation Start($images: [String!]!) {
  startPulls(input: { images: $images }) { results { pull { id phase progress { percent } } error { message } } }
}`;

export const UPDATES = `subscription Updates($ids: [ID!], $after: ID) {
  pullJobUpdated(ids: $ids, after: $after, history: false) { id phase revision progress { percent } }
}`;

// The pull that a start has started or joined.
export function started({ startPulls: { results: [{ pull, error }] } }) {
  if (error) {
    throw error;
  }
  return pull;
}
