// Shows the OpenAPI document and tries its paths out. Nothing comes from elsewhere.

const known = await (await fetch("/openapi.json")).json();

function make(tag, text = "", options = {}) {
  const element = Object.assign(document.createElement(tag), options);
  element.append(text);
  return element;
}

function resolve(schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? { name, ...known.components.schemas[name] } : schema ?? {};
}

function limits(schema) {
  const words = {
    minimum: "from", maximum: "to", exclusiveMinimum: "above", exclusiveMaximum: "below",
    minLength: "at least (characters)", maxLength: "at most (characters)",
    minItems: "at least (items)", maxItems: "at most (items)", pattern: "pattern",
  };
  const found = Object.keys(words).filter((key) => key in schema);
  const said = found.map((key) => `${words[key]} ${schema[key]}`);
  if (schema.default !== undefined && schema.default !== null) {
    said.push(`default ${JSON.stringify(schema.default)}`);
  }
  return said.join(", ");
}

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${kind(schema.items ?? {})}`;
  if (schema.type === "object" && schema.additionalProperties?.type) {
    return `object of ${kind(schema.additionalProperties)}`;
  }
  return [schema.type, schema.format].filter(Boolean).join(", ") || "anything";
}

function referred(schema) {
  const inner = [schema, schema.items, ...(schema.anyOf ?? [])].filter(Boolean);
  return inner.flatMap((one) => [one, one.items]).filter((one) => one?.$ref);
}

function table(rows) {
  const body = make("table");
  for (const cells of rows) {
    const row = make("tr");
    cells.forEach((cell, i) => row.append(make("td", i ? cell : make("code", cell))));
    body.append(row);
  }
  return body;
}

// A schema's fields, and below them those of the schemas that it refers to.
function fields(schema, shown = new Set()) {
  const found = resolve(schema);
  const part = make("div");
  if (found.name && shown.has(found.name)) return part;
  if (found.name) shown.add(found.name);
  if (found.name) part.append(make("p", make("strong", found.name)));
  if (found.description) part.append(make("p", found.description));
  const properties = Object.entries(found.properties ?? {});
  if (!properties.length && !found.name) part.append(make("p", kind(found)));
  if (properties.length) {
    part.append(table(properties.map(([name, value]) => [
      name + (found.required?.includes(name) ? "" : " (optional)"),
      kind(value),
      [value.description, limits(value)].filter(Boolean).join(" "),
    ])));
  }
  for (const [, value] of properties) {
    for (const one of referred(value)) part.append(fields(one, shown));
  }
  return part;
}

function section(title, content) {
  const part = make("details");
  part.append(make("summary", title), content);
  return part;
}

function parameters(operation) {
  return table((operation.parameters ?? []).map((one) => [
    one.name,
    `${one.in}, ${kind(one.schema)}${one.required ? "" : ", optional"}`,
    [one.description ?? one.schema.description, limits(one.schema)].filter(Boolean).join(" "),
  ]));
}

function answers(operation) {
  return table(Object.entries(operation.responses).map(([status, one]) => [
    status, one.description, Object.keys(one.content ?? {}).join(", "),
  ]));
}

function curl(method, path, operation) {
  const kinds = Object.keys(operation.requestBody?.content ?? {});
  const parts = resolve(operation.requestBody?.content["multipart/form-data"]?.schema);
  const words = ["curl"];
  if (method !== "GET") words.push("-X", method.toUpperCase());
  if (parts.required?.length) {
    for (const name of parts.required) words.push("-F", `${name}=@${name}.jpg`);
  } else if (kinds.includes("application/json")) {
    words.push("-H", "'content-type: application/json'", "-d", "@body.json");
  }
  return [...words, `'${location.origin}${path}'`].join(" ");
}

function trial(method, path, operation) {
  const form = make("form");
  const inputs = (operation.parameters ?? []).map((one) => {
    const input = make("input", "", { name: one.name, required: Boolean(one.required) });
    const label = make("label", `${one.name} `);
    label.append(input);
    form.append(label);
    return [one, input];
  });
  const kinds = Object.keys(operation.requestBody?.content ?? {});
  const parts = resolve(operation.requestBody?.content["multipart/form-data"]?.schema).properties;
  const files = Object.entries(parts ?? {}).map(([name, schema]) => {
    const isFile = schema.format === "binary";
    const input = make(isFile ? "input" : "textarea", "", isFile ? { type: "file" } : {});
    const label = make("label", `${name} `);
    label.append(input);
    form.append(label);
    return [name, input];
  });
  const text = make("textarea", "", { placeholder: "JSON" });
  if (kinds.includes("application/json")) form.append(text);
  const answer = make("div", "", { className: "answer" });
  form.append(make("button", "Send"), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = bodyOf(kinds, files, text.value);
    const url = urlOf(path, inputs);
    answer.replaceChildren("Waiting.");
    try {
      answer.replaceChildren(...(await ask(method, url, body)));
    } catch (error) {
      answer.replaceChildren(String(error));
    }
  });
  return form;
}

function urlOf(path, inputs) {
  const query = new URLSearchParams();
  for (const [one, input] of inputs) {
    if (one.in === "path") path = path.replace(`{${one.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(one.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

function bodyOf(kinds, files, text) {
  const data = new FormData();
  for (const [name, input] of files) {
    if (input.files?.length) data.set(name, input.files[0]);
    else if (!input.files && input.value) data.set(name, input.value);
  }
  if ([...data.keys()].length) return data;
  return kinds.length ? text : undefined;
}

async function ask(method, url, body) {
  const headers = {};
  const token = document.querySelector("#token").value;
  if (token) headers.authorization = `Bearer ${token}`;
  if (typeof body === "string") headers["content-type"] = "application/json";
  const start = performance.now();
  const answer = await fetch(url, { method: method.toUpperCase(), headers, body });
  const took = `${answer.status}, ${Math.round(performance.now() - start)} ms`;
  const type = answer.headers.get("content-type") ?? "";
  if (type.startsWith("image/")) {
    return [took, make("br"), make("img", "", { src: URL.createObjectURL(await answer.blob()) })];
  }
  if (type.startsWith("model/") || type.startsWith("application/octet-stream")) {
    const href = URL.createObjectURL(await answer.blob());
    return [took, make("br"), make("a", "Save", { href, download: "answer" })];
  }
  const text = await answer.text();
  const shown = type.startsWith("application/json") ? JSON.stringify(JSON.parse(text), null, 1) : text;
  return [took, make("pre", shown)];
}

function show(method, path, operation) {
  const part = make("details", "", { className: "path" });
  const head = make("summary", make("span", method.toUpperCase(), { className: "method" }));
  head.append(make("code", path));
  part.append(head);
  part.addEventListener("toggle", () => {
    if (part.childElementCount > 1) return;
    part.append(make("p", operation.description ?? ""), make("pre", curl(method, path, operation)));
    if (operation.parameters) part.append(section("Parameters", parameters(operation)));
    for (const [type, one] of Object.entries(operation.requestBody?.content ?? {})) {
      part.append(section(`Body: ${type}`, fields(one.schema)));
    }
    const good = Object.entries(operation.responses).find(([status]) => status < "300");
    const schema = good?.[1].content?.["application/json"]?.schema;
    if (schema) part.append(section(`Answer ${good[0]}`, fields(schema)));
    part.append(section("All answers", answers(operation)));
    part.append(section("Try", trial(method, path, operation)));
  });
  part.dataset.words = `${method} ${path} ${operation.description}`.toLowerCase();
  return part;
}

const main = document.querySelector("#paths");
const groups = new Map();
for (const [path, methods] of Object.entries(known.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const group = operation.tags?.[0] ?? "other";
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(show(method, path, operation));
  }
}
document.querySelector("#about").textContent = known.info.description;
main.replaceChildren(...[...groups].flatMap(([name, paths]) => [make("h2", name), ...paths]));
document.querySelector("#search").addEventListener("input", (event) => {
  const word = event.target.value.toLowerCase();
  for (const part of main.querySelectorAll(".path")) part.hidden = !part.dataset.words.includes(word);
});
