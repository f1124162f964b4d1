// The Allure report of a run, as `make report` makes it (deploy/setup/allure.py passes the folders).
// A plain object and no defineConfig(): the allure package lies in .tools and cannot be imported from here.
import { existsSync, readFileSync } from "node:fs";

function categories(results) {
  const file = `${results}/categories.json`;
  if (!existsSync(file)) return [];  // a session that was killed did not come to write it
  return JSON.parse(readFileSync(file, "utf8")).map((one) => ({
    name: one.name,
    matchers: { statuses: one.matchedStatuses, message: new RegExp(one.messageRegex) },
  }));
}

export default {
  name: "vLLM SLO report",
  output: process.env.ALLURE_OUTPUT,
  // One line a run, kept beside the runs: it draws the trends and the dots beside each test.
  historyPath: process.env.ALLURE_HISTORY,
  appendHistory: process.env.ALLURE_APPEND === "yes",
  // Written once, in reports/allure.py; the session put them beside its results, where Allure 2 reads them.
  categories: categories(process.env.ALLURE_RESULTS),
  plugins: {
    awesome: { options: { reportName: "vLLM SLO", groupBy: ["epic", "feature", "story"] } },
    allure2: { options: { reportName: "vLLM SLO" } },
  },
};
