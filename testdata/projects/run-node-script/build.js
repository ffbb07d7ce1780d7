const fs = require("fs");
const pages = JSON.parse(fs.readFileSync("pages.json", "utf8"));
fs.mkdirSync("public", { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  fs.writeFileSync(`public/${name}.html`, `<h1>${name}</h1><p>${text}</p>\n`);
}
