// node-opcua imports a NodeSet2 document as its server would, and reports the nodes in JSON.
//
// Called by tests/opcua_model/test_opcua_nodeset.py: node nodeset.js <modules folder> <file>
// The last line on stdout is the report: a list for each node of the file's namespaces, with the
// NodeIds of references forward of each type. Warnings go to stdout and stderr by themselves.

"use strict";

const path = require("path");
const { createRequire } = require("module");

const [modules, file] = process.argv.slice(2);
const load = createRequire(path.join(modules, "package.json"));
const { AddressSpace } = load("node-opcua-address-space");
const { generateAddressSpace } = load("node-opcua-address-space/nodeJS");
const { nodesets } = load("node-opcua-nodesets");
const { NodeClass } = load("node-opcua-data-model");

const REFERENCES = ["HasTypeDefinition", "HasComponent", "HasProperty", "Organizes", "HasSubtype"];

function spelt(nodeId) {
  return nodeId.toString().replace(/^ns=0;/, "");
}

async function main() {
  const space = AddressSpace.create();
  await generateAddressSpace(space, [nodesets.standard, file]);
  const nodes = {};
  const uris = space.getNamespaceArray().map((namespace) => namespace.namespaceUri);
  for (const namespace of space.getNamespaceArray().slice(1)) {
    for (const node of namespace.nodeIterator()) {
      const forward = REFERENCES.flatMap((type) =>
        node.findReferences(type, true).map((found) => `${type} ${spelt(found.nodeId)}`));
      const facts = {
        class: NodeClass[node.nodeClass],
        name: `${node.browseName.namespaceIndex}:${node.browseName.name}`,
        shown: node.displayName[0].text,
        references: forward.sort(),
      };
      if (node.nodeClass === NodeClass.Variable) {
        facts.type = spelt(node.dataType);
        facts.rank = node.valueRank;
        facts.access = node.accessLevel;
        const value = node.readValue().value.value;
        if (node.browseName.name === "EURange") {
          facts.value = [value.low, value.high];
        } else if (node.browseName.name.endsWith("putArguments")) {
          facts.value = Array.from(value, (one) => one.name);
        }
      }
      nodes[node.nodeId.toString()] = facts;
    }
  }
  console.log(JSON.stringify({ uris, nodes }));
  space.dispose();
}

main().catch((error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exitCode = 1;
});
