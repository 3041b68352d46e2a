import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { z } from "zod";
import { ExecInput, ExecWork } from "../../contract/node/exec.ts";
import { DesiredState, NodeReport } from "../../contract/node/protocol.ts";
import { agentSkew, apiSkew, PROTOCOL, toldProtocol } from "../../contract/node/skew.ts";

/**
 * The number, and a print of all that agents read strictly. Where that has changed the number has to be
 * raised, unless it was since the last version; then what is new stands here. A new zod may write the same
 * in other words: that raises nothing.
 */
const TOLD = { protocol: 2, print: "82deadb6377413cf" };

test("what nodes are told changes together with the number", () => {
  const shapes = [DesiredState, ExecWork, ExecInput].map((it) =>
    z.toJSONSchema(it, { io: "input", unrepresentable: "any" }),
  );
  const print = createHash("sha256").update(JSON.stringify(shapes)).digest("hex").slice(0, 16);

  expect({ protocol: PROTOCOL, print }).toEqual(TOLD);
});

test("a report of the first protocol is read for ever", () => {
  const container = { name: "app", state: "running", restarts: 0 };
  const pod = { phase: "Running", ready: true, restarts: 0, containers: [container] };
  const report = {
    ...{ observedGeneration: 1, bootId: "boot", version: "0.1.0" },
    capacity: { cpuMillis: 1_000, memoryBytes: 1_000, pods: 10 },
    pods: [{ pod: "0b6f6a0e-7d0c-4c57-9d3b-3f1b7a2f8c11", ...pod }],
  };

  expect(NodeReport.safeParse(report).error).toBeUndefined();
});

test.each([
  [undefined, 1],
  ["1", 1],
  ["12", 12],
  ["0", undefined],
  ["-1", undefined],
  ["2, 2", undefined],
  ["9".repeat(12), undefined],
  ["", undefined],
])("the header %j tells the number %j", (header, told) => {
  expect(toldProtocol(header)).toBe(told);
});

test("each side says which of the two is to be updated", () => {
  expect(agentSkew(PROTOCOL)).toBeUndefined();
  expect(apiSkew(PROTOCOL)).toBeUndefined();
  expect(agentSkew(PROTOCOL - 1)).toContain("update Waybill on that host");
  expect(agentSkew(PROTOCOL + 1)).toContain("update Waybill where the api runs");
  expect(apiSkew(PROTOCOL - 1)).toContain("update Waybill where the api runs");
  expect(apiSkew(PROTOCOL + 1)).toContain("update Waybill on this host");
});
