const mustache = require("mustache");

console.log(mustache.render("<h1>{{title}}</h1>", { title: "a & b" }));
