import { render } from "preact";

const place = document.getElementById("page");
if (place) render(<p>rsp-onnx</p>, place);
