import { useEffect, useState } from "preact/hooks";

import { Choice } from "./controls";

type Theme = "system" | "light" | "dark";
const KEY = "rsp-onnx theme";

/** Light or dark, else as the system has it; remembered where the browser allows it. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState<Theme>(remembered);
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // private windows: the choice lasts as long as the page
    }
  }, [theme]);
  return (
    <div class="theme">
      <Choice
        legend="Light or dark"
        name="theme"
        options={[
          ["system", "System"],
          ["light", "Light"],
          ["dark", "Dark"],
        ]}
        value={theme}
        choose={(value) => setTheme(value)}
      />
    </div>
  );
}

function remembered(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}
