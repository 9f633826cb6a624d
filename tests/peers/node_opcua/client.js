// A node-opcua client that uses the server as a foreign SCADA system would, and reports in JSON.
//
// Called by tests/opcua_model/test_opcua_peer.py:
//   node client.js <modules folder> <endpoint> <folder for keys> <user> <password> <command>
// The last line on stdout is the report; an error there is {"error": status or message}.

"use strict";

const path = require("path");
const { createRequire } = require("module");

const [modules, endpointUrl, keys, userName, password, command] = process.argv.slice(2);
const load = createRequire(path.join(modules, "package.json"));
const opcua = load("node-opcua-client");
const { OPCUACertificateManager } = load("node-opcua-certificate-manager");
const {
  AttributeIds, BrowseDirection, ClientMonitoredItem, DataType, MessageSecurityMode, NodeClass,
  OPCUAClient, SecurityPolicy, TimestampsToReturn, UserTokenType,
} = opcua;

const CELL = "ns=3;s=BladeMarking";
const IO = "ns=4;s=BladeMarking.IO";

function makeClient() {
  const manager = new OPCUACertificateManager({
    rootFolder: path.join(keys, "node-pki"),
    automaticallyAcceptUnknownCertificate: true,
  });
  return OPCUAClient.create({
    applicationName: "Peer",
    clientCertificateManager: manager,
    connectionStrategy: { maxRetry: 0 },
    endpointMustExist: false,
    requestedSessionTimeout: 60000,
    securityMode: MessageSecurityMode.SignAndEncrypt,
    securityPolicy: SecurityPolicy.Basic256Sha256,
    transportTimeout: 30000,
  });
}

async function browseAll(session) {
  const found = new Map();
  let pending = ["i=84"];
  while (pending.length > 0) {
    const batch = pending.splice(0, 100);
    let results = await session.browse(batch.map((nodeId) => ({
      nodeId,
      browseDirection: BrowseDirection.Forward,
      referenceTypeId: "HierarchicalReferences",
      includeSubtypes: true,
      nodeClassMask: 0,
      resultMask: 63,
    })));
    while (results.length > 0) {
      const points = [];
      for (const result of results) {
        if (!result.statusCode.isGood()) {
          throw new Error(`browse: ${result.statusCode.name}`);
        }
        for (const reference of result.references) {
          const key = reference.nodeId.toString();
          if (!found.has(key)) {
            found.set(key, reference);
            pending.push(key);
          }
        }
        if (result.continuationPoint && result.continuationPoint.length > 0) {
          points.push(result.continuationPoint);
        }
      }
      results = points.length > 0 ? await session.browseNext(points, false) : [];
    }
  }
  return found;
}

async function readAll(session) {
  const found = await browseAll(session);
  const variables = [...found.entries()]
    .filter(([, reference]) => reference.nodeClass === NodeClass.Variable)
    .map(([key]) => key);
  const bad = {};
  const values = {};
  for (let start = 0; start < variables.length; start += 500) {
    const part = variables.slice(start, start + 500);
    const results = await session.read(
      part.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value })));
    results.forEach((result, index) => {
      if (result.statusCode.value >= 0x80000000) {
        bad[part[index]] = result.statusCode.name;
      }
      values[part[index]] = result.value.value;
    });
  }
  return { nodes: found.size, variables: variables.length, bad, values };
}

async function subscribe(session) {
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 20,
    requestedLifetimeCount: 1000,
    requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0,
    publishingEnabled: true,
    priority: 0,
  });
  const seen = [];
  const item = ClientMonitoredItem.create(
    subscription,
    { nodeId: `${IO}.Memory.recipe`, attributeId: AttributeIds.Value },
    { samplingInterval: 0, queueSize: 10, discardOldest: true },
    TimestampsToReturn.Both);
  const enough = new Promise((resolve) => {
    item.on("changed", (value) => {
      seen.push(value.value.value);
      if (seen.includes(42)) {
        resolve();
      }
    });
  });
  return { subscription, seen, enough };
}

async function write(session, nodeId, value) {
  const status = await session.write({ nodeId, attributeId: AttributeIds.Value, value: { value } });
  return status.name;
}

function noComment() {
  return { dataType: DataType.LocalizedText, arrayType: 1, value: [] };
}

async function storeAndStart(session) {
  const type = opcua.resolveNodeId("ns=2;i=3017");
  const order = await session.constructExtensionObject(type, {
    jobOrderID: "NODE-1",
    description: [{ text: "Ordered by the peer" }],
    workMasterID: [await session.constructExtensionObject(
      opcua.resolveNodeId("ns=2;i=3005"), { ID: "BLD-7421" })],
    priority: 3,
    materialRequirements: [await session.constructExtensionObject(
      opcua.resolveNodeId("ns=2;i=3013"), { materialUse: "Produced", quantity: "4" })],
  });
  const control = `${CELL}.JobManagement.JobOrderControl`;
  const stored = await session.call({
    objectId: control,
    methodId: `${control}.StoreAndStart`,
    inputArguments: [{ dataType: DataType.ExtensionObject, value: order }, noComment()],
  });
  const list = await session.read({
    nodeId: `${control}.JobOrderList`, attributeId: AttributeIds.Value });
  const mine = list.value.value.find((item) => item.jobOrder.jobOrderID === "NODE-1");
  return {
    call: stored.statusCode.name,
    returnStatus: stored.outputArguments.map((output) => output.value),
    listed: mine === undefined ? null : {
      part: mine.jobOrder.workMasterID[0].ID,
      quantity: mine.jobOrder.materialRequirements[0].quantity,
      states: mine.state.map((state) => state.stateText.text),
    },
  };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The parts of a job order, as the address space shows them, once `count` of them are decided.
async function partsOf(session, jobOrderId, count) {
  const folder = `${CELL}.MES.WorkOrders`;
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const found = await session.browse(folder);
    for (const reference of found.references) {
      const order = reference.nodeId.toString();
      const names = ["JobOrderID", "State", "Serials", "Verdicts"];
      const [id, state, serials, verdicts] = (await session.read(names.map((name) => (
        { nodeId: `${order}.${name}`, attributeId: AttributeIds.Value }))))
        .map((result) => result.value.value);
      const decided = (verdicts || []).filter((word) => word === "good" || word === "rejected");
      if (id === jobOrderId && decided.length >= count) {
        return { state, serials, verdicts };
      }
    }
    await pause(200);
  }
  return null;
}

// Subscribes to alarms, asks how things stand, acknowledges the first one, and reads its nodes.
async function alarms(session) {
  const names = ["EventId", "EventType", "Message", "Severity", "SourceName", "ConditionName",
    "ActiveState.Id", "AckedState.Id", "Retain", "BranchId"];
  const filter = opcua.constructEventFilter(names);
  const condition = { attributeId: AttributeIds.NodeId, typeDefinitionId: "i=2782", browsePath: [] };
  filter.selectClauses.push(new opcua.SimpleAttributeOperand(condition));
  const subscription = await session.createSubscription2({
    requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
    maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 0,
  });
  const heard = [];
  const item = ClientMonitoredItem.create(
    subscription,
    { nodeId: "i=2253", attributeId: AttributeIds.EventNotifier },
    { samplingInterval: 0, queueSize: 1000, discardOldest: true, filter },
    TimestampsToReturn.Both);
  const refreshed = new Promise((resolve) => {
    item.on("changed", (fields) => {
      const event = Object.fromEntries([...names, "ConditionId"].map((name, index) => [
        name, fields[index].value]));
      heard.push(event);
      if (event.EventType.toString() === "ns=0;i=2788") {
        resolve();
      }
    });
  });
  await new Promise((resolve) => { item.on("initialized", resolve); });
  const refresh = await session.call({
    objectId: "i=2782", methodId: "i=3875",
    inputArguments: [{ dataType: DataType.UInt32, value: subscription.subscriptionId }],
  });
  await Promise.race([refreshed, pause(15000)]);
  const standing = heard.filter((event) => event.ConditionName);
  const [first] = standing;
  const acknowledged = await session.call({
    objectId: first.ConditionId, methodId: "i=9111",
    inputArguments: [
      { dataType: DataType.ByteString, value: first.EventId },
      { dataType: DataType.LocalizedText, value: { text: "seen by the peer" } },
    ],
  });
  const below = await session.browse(first.ConditionId);
  const active = await session.read({
    nodeId: `${first.ConditionId.toString()}/ActiveState/Id`, attributeId: AttributeIds.Value });
  await subscription.terminate();
  return {
    refresh: refresh.statusCode.name,
    types: heard.map((event) => event.EventType.toString()),
    first: {
      condition: first.ConditionId.toString(), name: first.ConditionName,
      message: first.Message.text, severity: first.Severity,
      active: first["ActiveState.Id"], acked: first["AckedState.Id"], retain: first.Retain,
    },
    acknowledged: acknowledged.statusCode.name,
    below: below.references.map((reference) => reference.browseName.name),
    active: active.value.value,
  };
}

const commands = {
  alarms,
  async produce(session) {
    const tree = await readAll(session);
    const watched = await subscribe(session);
    const written = await write(
      session, `${IO}.Memory.recipe`, { dataType: DataType.Int16, value: 42 });
    await Promise.race([watched.enough, pause(15000)]);
    const order = await storeAndStart(session);
    const parts = await partsOf(session, "NODE-1", 4);
    await watched.subscription.terminate();
    return {
      variables: tree.variables, bad: tree.bad, written, seen: watched.seen, order, parts,
    };
  },
  async all(session) {
    const tree = await readAll(session);
    const watched = await subscribe(session);
    const written = await write(
      session, `${IO}.Memory.recipe`, { dataType: DataType.Int16, value: 42 });
    await Promise.race([watched.enough, new Promise((resolve) => setTimeout(resolve, 15000))]);
    const refused = await write(
      session, `${IO}.Inputs.remote_io.part_present`, { dataType: DataType.Boolean, value: true });
    const order = await storeAndStart(session);
    await watched.subscription.terminate();
    return {
      nodes: tree.nodes,
      variables: tree.variables,
      bad: tree.bad,
      pressure: tree.values[`${IO}.Inputs.remote_io.air_pressure`],
      unit: tree.values[`${IO}.Inputs.remote_io.air_pressure.EngineeringUnits`],
      written,
      refused,
      seen: watched.seen,
      order,
    };
  },
  async login() {
    return { loggedIn: true };
  },
};

async function main() {
  const client = makeClient();
  const user = userName === ""
    ? { type: UserTokenType.Anonymous }
    : { type: UserTokenType.UserName, userName, password };
  await client.connect(endpointUrl);
  try {
    const session = await client.createSession(user);
    try {
      return await commands[command](session);
    } finally {
      await session.close();
    }
  } finally {
    await client.disconnect();
  }
}

main()
  .catch((error) => ({ error: String(error.message || error) }))
  .then((report) => {
    process.stdout.write(`\n${JSON.stringify(report)}\n`, () => process.exit(0));
  });
