// GraphQL over HTTP: the audits of graphql-http.
import { serverAudits } from 'graphql-http';

export function audits(server) {
  const all = serverAudits({ url: server.url });
  const checks = {
    async 'there are 61 audits'() {
      if (all.length !== 61) {
        throw new Error(`there are ${all.length}`);
      }
    },
  };
  for (const { id, name, fn } of all) {
    checks[`${id} ${name}`] = async () => {
      const { status, reason } = await fn();
      if (status !== 'ok') {
        throw new Error(`${status}: ${reason}`);
      }
    };
  }
  return checks;
}
