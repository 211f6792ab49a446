// Builds the page into the package: files that any mien serves without Node.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const WHOLE = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js"];

// SHA-256 over names and contents of the sources, in order; tests/test_view_build.py does the same.
function hashOfSources() {
  const names = [...WHOLE, "public/icon.svg", ...readdirSync(join(HERE, "src")).map((name) => `src/${name}`)].sort();
  const hash = createHash("sha256");
  for (const name of names) {
    hash.update(`${name}\0`);
    hash.update(readFileSync(join(HERE, name)));
    hash.update("\0");
  }
  return hash.digest("hex");
}

const stamp = {
  name: "stamp",
  writeBundle(options) {
    const built = JSON.stringify({ sources: hashOfSources() });
    writeFileSync(join(options.dir, "build.json"), `${built}\n`);
    const licence = readFileSync(join(HERE, "node_modules/three/LICENSE"), "utf8");
    writeFileSync(join(options.dir, "licences.txt"), `three.js, in the scripts of this page\n\n${licence}`);
  },
};

export default defineConfig({
  base: "/",
  plugins: [stamp],
  build: {
    outDir: process.env.MIEN_PAGE_OUT ?? "../src/mien/serve/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    chunkSizeWarningLimit: 1000,
  },
});
