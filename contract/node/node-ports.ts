/**
 * Ports of a node's own where other nodes' ingresses ask for its pods: no pod and no part of ours may
 * have one. Below those that a kernel gives to outgoing connections.
 */
export const NODE_PORTS = { first: 31_000, last: 32_767 } as const;
