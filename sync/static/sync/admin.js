// Keeps the admin's pages of cases and jobs up to date; when a case has a new job, its page is fetched again.

import { find, follow, refresh, refreshReport, write } from "../transfers/admin-live.js";
import { size, span } from "../transfers/upload/words.js";

const NOTHING = "–";
const counted = (number) => number.toLocaleString("en-US");

// The words of sync/admin/standing.py.
function paint(key, job) {
  write(key, "failed", counted(job.failuresCount));
  write(key, "speed", job.bytesPerSecond ? `${size(job.bytesPerSecond)}/s` : NOTHING);
  const seconds = Math.max(0, job.bytesTotal - job.bytesDone) / job.bytesPerSecond;
  write(key, "left", job.bytesPerSecond && job.bytesTotal ? span(seconds) : NOTHING);
  if (!job.filesTotal) return;
  const [done, total] = job.bytesTotal ? [job.bytesDone, job.bytesTotal] : [job.filesDone, job.filesTotal];
  const bar = find(key, "bar");
  if (bar) {
    bar.max = total;
    bar.value = Math.min(done, total);
  }
  const files = `${counted(job.filesDone)} of ${counted(job.filesTotal)} file${job.filesTotal === 1 ? "" : "s"}`;
  const share = Math.floor((Math.min(done, total) * 100) / total);
  write(key, "amount", `${files} · ${size(job.bytesDone)} of ${size(job.bytesTotal)} · ${share} %`);
}

function take(job) {
  const key = `job-${job.jobId}`;
  const state = find(key, "state");
  if (!state) {
    if (document.querySelector(`[data-case="${CSS.escape(job.caseId ?? "")}"]`)) refresh(); // a new job of a case here
    return;
  }
  const shown = state.dataset.state;
  const before = Number(state.dataset.revision);
  if (job.revision < before) return;
  if (job.state === "running" && shown === "running") {
    state.dataset.revision = job.revision;
    paint(key, job);
    refreshReport();
  } else if (job.state !== (shown === "stopping" ? "running" : shown)) {
    refresh();
  }
}

follow("raylinksync_stream", take);
