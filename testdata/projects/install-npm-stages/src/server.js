const http = require("http");
const escape = require("escape-html");

exports.page = (name) => `<p>${escape(name)}</p>`;

if (require.main === module) {
  http.createServer((_, response) => response.end(exports.page("a<b"))).listen(3000);
}
