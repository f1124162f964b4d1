// The Allure report of a run and its quality gate, as `make report` and `make report-gate` make them
// (deploy/setup/allure.py passes folders and facts).
// A plain object and no defineConfig(): the allure package lies in .tools and cannot be imported from here.
import { existsSync, readFileSync } from "node:fs";

const told = process.env;
const name = told.ALLURE_REPORT_NAME ?? "vLLM SLO";

function categories(results) {
  const file = `${results}/categories.json`;
  if (!existsSync(file)) return [];  // a session that was killed before it had collected its claims
  return JSON.parse(readFileSync(file, "utf8")).map((one) => ({
    name: one.name,
    matchers: { statuses: one.matchedStatuses, message: new RegExp(one.messageRegex) },
  }));
}

// How runs went one after another, then what this one is made of.
const charts = [
  { type: "currentStatus", title: "This run" },
  { type: "statusDynamics", title: "Claims over runs", limit: 30 },
  { type: "statusTransitions", title: "What changed from run to run", limit: 30 },
  { type: "durations", title: "How long claims took", groupBy: "none" },
  { type: "durationDynamics", title: "Duration over runs", limit: 30 },
  {
    type: "testResultSeverities", title: "Claims by severity", levels: ["critical", "normal", "minor"],
    statuses: ["passed", "failed", "broken", "skipped"], includeUnset: false,
  },
  {
    type: "stabilityDistribution", title: "Stability by what is asked", groupBy: "feature", threshold: 90,
    skipStatuses: ["skipped", "unknown"],
  },
];

export default {
  name,
  output: told.ALLURE_OUTPUT,
  // One line a run, kept beside the runs: it draws the trends and the dots beside each test.
  historyPath: told.ALLURE_HISTORY,
  appendHistory: told.ALLURE_HISTORY !== undefined,
  // Written once, in reports/allure_files; the session put them beside its results, where Allure 2 reads them.
  categories: categories(told.ALLURE_RESULTS),
  // Only where it is asked for: Node 20, which makes the pages, cannot judge.
  qualityGate: told.ALLURE_LEAST === undefined ? undefined : {
    rules: [{ maxFailures: 0, minTestsCount: Number(told.ALLURE_LEAST) }],
  },
  plugins: {
    awesome: { options: { reportName: name, groupBy: ["parentSuite", "suite", "subSuite"], charts } },
    allure2: { options: { reportName: name } },
  },
};
