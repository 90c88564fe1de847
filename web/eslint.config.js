import js from "@eslint/js";
import a11y from "eslint-plugin-jsx-a11y";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["node_modules", "dist"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  a11y.flatConfigs.recommended,
  { files: ["eslint.config.js"], extends: [tseslint.configs.disableTypeChecked] }, // a plugin without types
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js"] },
      },
    },
    rules: {
      // numbers in a sentence need no String() around them
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // event handlers are one-liners whose value nobody reads
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
);
