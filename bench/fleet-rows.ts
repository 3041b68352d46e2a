import type postgres from "postgres";
import { AppSpec } from "../contract/app/app-spec.ts";
import { AppId } from "../contract/ids.ts";
import { PROTOCOL } from "../contract/node/skew.ts";

/* A fleet of thousands of nodes and the apps that are to run on it, as rows. */

export const NODES = 5_000;
export const APPS = 500;
/** The most that a spec may ask for. */
const REPLICAS = 100;

const DIGEST = `sha256:${"c".repeat(64)}`;
const SIZES = ["256Mi", "384Mi", "512Mi", "768Mi", "1Gi"];

/** Every tenth shuns its own kind, every tenth asks for nodes of one pool, and the others go where there is room. */
function specOf(at: number): object {
  const name = `app-${at}`;
  const memory = SIZES[at % SIZES.length];
  const [apart, pooled] = [at % 10 === 7, at % 10 === 8];
  if (!apart && !pooled)
    return {
      name,
      war: { artifact: DIGEST },
      resources: { cpu: "100m", memory },
      replicas: REPLICAS,
    };
  const resources = { requests: { cpu: "100m", memory }, limits: { memory } };
  const ownKind = {
    labelSelector: { matchLabels: { kind: name } },
    topologyKey: "kubernetes.io/hostname",
  };
  const required = { requiredDuringSchedulingIgnoredDuringExecution: [ownKind] };
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { kind: name } },
    spec: {
      containers: [{ name: "app", image: "app", resources }],
      ...(pooled ? { nodeSelector: { pool: "a" } } : { affinity: { podAntiAffinity: required } }),
    },
  };
  return { name, pod, replicas: REPLICAS };
}

export type Rows = {
  readonly apps: readonly AppId[];
  /** How many pods the apps ask for together. */
  readonly pods: number;
};

/** Nodes that were heard of just now, and apps whose first release is built. */
export async function storeFleet(sql: postgres.Sql): Promise<Rows> {
  const specs = Array.from({ length: APPS }, (_, at) => AppSpec.parse(specOf(at)));
  const images = { app: `library/app@${DIGEST}` };
  await sql`
    insert into nodes (name, labels)
    select 'node-' || to_char(at, 'fm0000'), jsonb_build_object('pool', case at % 2 when 0 then 'a' else 'b' end)
    from generate_series(1, ${NODES}::int) as at`;
  await sql`insert into node_plans (node_id) select id from nodes`;
  await sql`
    insert into node_status (node_id, observed_generation, boot_id, version, protocol, address, capacity, seen_at)
    select id, 0, 'boot', 'bench', ${PROTOCOL}::int, '10.' || row_number() over (order by name),
      '{"cpuMillis": 8000, "memoryBytes": 12884901888, "pods": 50}', now() + interval '1 day'
    from nodes`;
  const [project] = await sql`insert into projects (name) values ('default') returning id`;
  await sql`
    insert into apps (project_id, name, spec, generation)
    select ${project?.id}, spec ->> 'name', spec, 1 from jsonb_array_elements(${sql.json(specs)}) as it (spec)`;
  await sql`
    insert into releases (app_id, number, generation, spec, created_by, phase, image_repository,
      image_digest, images, http_port)
    select id, 1, 1, spec, 'bench', 'built', 'apps/default/app', ${DIGEST}, ${sql.json(images)},
      case when spec ? 'war' then 8080 end
    from apps`;
  await sql`analyze`;
  const ids = await sql`select id from apps order by name`;
  return {
    apps: ids.map((it) => AppId.parse(it.id)),
    pods: specs.reduce((sum, it) => sum + it.replicas, 0),
  };
}

/** The same fleet before anything was placed. */
export async function emptyFleet(sql: postgres.Sql): Promise<void> {
  await sql`truncate pods, pod_texts, pod_status, events`;
  await sql`update releases set phase = 'built'`;
  await sql`update node_plans set generation = 0`;
  await sql`vacuum analyze`;
  await sql`checkpoint`;
}
