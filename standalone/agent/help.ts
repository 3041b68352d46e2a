export const HELP = `Runs the pods of a Waybill installation on this host.

  npm run agent -- --api URL --join TOKEN   join, and run what is placed here
  npm run agent                             the same again, once this host has joined
  npm run agent -- down                     stop everything that runs here; the data stays

  --api URL          the api, as this host reaches it         WAYBILL_API_URL
  --join TOKEN       made by POST /v1/nodes/join-tokens        WAYBILL_JOIN_TOKEN
  --address ADDRESS  where other nodes reach this host         WAYBILL_NODE_ADDRESS
  --http-port PORT   where the ingress listens (8080)          WAYBILL_HTTP_PORT
  --data-dir FOLDER  all state (/var/lib/waybill)              WAYBILL_DATA_DIR
  --help             this

The token says what the node is called and how it is labelled. What was said with --api, --address and
--http-port is kept for the next start. WAYBILL_NODE_MEMORY, WAYBILL_NODE_CPU, WAYBILL_HOST_PATHS and
WAYBILL_HOST_PORTS mean what they mean to npm start. docs/hosts.md tells more.`;
