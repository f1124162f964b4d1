// Checks custom resources against the schemas that @kubernetes-models makes of the resources' own definitions.
// usage: node real_schemas.mjs FOLDER <OBJECTS.json    FOLDER holds node_modules; prints [[name, complaint], ...]
// Beside types, required fields and patterns, every field's name has to be one that the definitions of its group have.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const packages = {
  "monitoring.coreos.com": "prometheus-operator",
  "cert-manager.io": "cert-manager",
  "acme.cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
};
// Below these any name may stand.
const open = new Set(["labels", "annotations", "matchLabels", "metadata"]);
// Fields of types that the packages name without bringing them: label selectors, references, behaviour of an autoscaler.
const foreign = ["matchLabels", "group", "scaleDown", "scaleUp", "policies", "periodSeconds", "value", "stabilizationWindowSeconds"];

function namesOf(place, apiVersion) {
  const names = new Set(foreign);
  const read = (at) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.isDirectory()) read(join(at, entry.name));
      else if (entry.name.endsWith(".d.ts"))
        for (const [, name] of readFileSync(join(at, entry.name), "utf8").matchAll(/^\s*"(\w+)"\??:/gm)) names.add(name);
    }
  };
  read(join(place, apiVersion.split("/")[0]));
  // An issuer's http01 is described in the group acme.cert-manager.io.
  if (apiVersion.startsWith("cert-manager.io/")) read(join(place, "acme.cert-manager.io"));
  return names;
}

function unknown(value, names, path) {
  if (Array.isArray(value)) return value.flatMap((one) => unknown(one, names, path));
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, below]) => [
    ...(names.has(name) ? [] : [`${path}.${name}`]),
    ...(open.has(name) ? [] : unknown(below, names, `${path}.${name}`)),
  ]);
}

const complaints = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${one.kind} ${one.metadata.name}`;
  const [group, version] = one.apiVersion.split("/");
  const place = join(folder, "node_modules", "@kubernetes-models", packages[group]);
  const file = createRequire(join(place, "package.json")).resolve(join(place, group, version, `${one.kind}.js`));
  const Model = (await import(pathToFileURL(file)))[one.kind];
  try {
    new Model(one).validate();
  } catch (error) {
    complaints.push([name, error.message]);
  }
  for (const path of unknown(one.spec, namesOf(place, one.apiVersion), "spec")) complaints.push([name, `unknown: ${path}`]);
}
console.log(JSON.stringify(complaints));
