import { render } from "preact";

import { openEngine as browser } from "../engine/browser";
import { openEngine as server } from "../engine/server";

const place = document.getElementById("page");
if (place) render(<p>rsp-onnx</p>, place);
const said = JSON.parse(document.getElementById("engine")?.textContent ?? "{}") as { engine?: string };
if (said.engine === "browser") Object.assign(globalThis, { engine: browser() });
if (said.engine === "server") Object.assign(globalThis, { engine: server() });
