// The k6 users: a closed loop of VUs that share the requests; answers are read whole, as k6 knows no streams.
import { check } from "k6";
import { SharedArray } from "k6/data";
import exec from "k6/execution";
import http from "k6/http";

const bodies = new SharedArray("bodies", () => open(__ENV.BODIES).trim().split("\n"));
const params = { headers: { "content-type": "application/json" }, timeout: "60s" };

export const options = {
  scenarios: {
    load: {
      executor: "shared-iterations",
      vus: Number(__ENV.VUS),
      iterations: Number(__ENV.REQUESTS),
      maxDuration: "110s",
    },
  },
  summaryTrendStats: ["avg", "p(50)", "p(99)", "max"],
};

export default function () {
  const response = http.post(__ENV.URL, bodies[exec.scenario.iterationInTest], params);
  check(response, { whole: (r) => r.status === 200 && r.body.endsWith("data: [DONE]\n\n") });
}

export function handleSummary(data) {
  return { [__ENV.SUMMARY]: JSON.stringify(data) };
}
