const assert = require("assert");
const { page } = require("../src/server.js");

assert.strictEqual(page("a<b"), "<p>a&lt;b</p>");
