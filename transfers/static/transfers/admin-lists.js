// Keeps the admin's pages of orders and of their jobs up to date.

import { find, follow, refresh, refreshReport, write } from "./admin-live.js";
import { size } from "./upload/words.js";

const TOLD_AS = {
  queued: "PROCESSING",
  running: "PROCESSING",
  stopping: "PROCESSING",
  completed: "COMPLETE",
  failed: "FAILED",
  stopped: "FAILED",
  expired: "FAILED",
};

// The words of transfers/admin/list_standing.py.
function paint(key, { orderId, progressCurrent, progressTotal, progressMessage }) {
  if (!orderId || !progressCurrent || !progressTotal) {
    write(key, "amount", progressMessage);
    return;
  }
  const bar = find(key, "bar");
  if (bar) {
    bar.max = progressTotal;
    bar.value = Math.min(progressCurrent, progressTotal);
  }
  const share = Math.floor((Math.min(progressCurrent, progressTotal) * 100) / progressTotal);
  write(key, "amount", `${size(progressCurrent)} of ${size(progressTotal)} · ${share} %`);
}

function take(job) {
  const key = `list-job-${job.jobId}`;
  const state = find(key, "state");
  if (!state) {
    if (job.orderId && (find(`order-${job.orderId}`, "last") || find(`order-${job.orderId}`, "report"))) refresh();
    return;
  }
  const shown = state.dataset.state;
  if (job.revision < Number(state.dataset.revision)) return;
  if (job.jobState === "PROCESSING" && shown === "running") {
    state.dataset.revision = job.revision;
    paint(key, job);
    refreshReport();
  } else if (job.jobState !== TOLD_AS[shown] || (shown === "queued" && job.revision > Number(state.dataset.revision))) {
    refresh();
  }
}

follow("list_job", take);
