import assert from "node:assert/strict";
import test from "node:test";
import { Transport, wantedRate } from "../../gradlab/stage/transport.js";

const TURN = 3; // milliseconds from an answer to the next question

/** A transport with a clock that the test moves, and a kernel that answers after `delay` ms; it does one thing at a time. */
function rig({ speed, delay = 5, seen = () => true, rateOfKernel = 3, beside = 0 }) {
  let now = 0;
  let free = 0;
  let steps = 1;
  let idle = 0;
  const jobs = [];
  const sent = [];
  let most = 0;
  const transport = new Transport({
    send: (message) => {
      sent.push({ at: now, ...message });
      most = Math.max(most, transport.underWay.size);
      const waited = Math.max(TURN, now + delay / 2 - free);
      idle += waited - TURN;
      free += waited + (message.ms ?? 1) + beside;
      jobs.push({ at: free + delay / 2, act: () => {
        steps += message.steps ?? message.ms * rateOfKernel;
        transport.answered(message.id, waited);
      } });
    },
    now: () => now,
    later: (act, ms) => {
      const job = { at: now + ms, act };
      jobs.push(job);
      return job;
    },
    cancel: (job) => job && (job.act = () => {}),
    steps: () => steps,
    run: () => 1,
    seen,
  });
  transport.speed = speed;
  const pass = (ms) => {
    const end = now + ms;
    for (;;) {
      jobs.sort((a, b) => a.at - b.at);
      if (!jobs.length || jobs[0].at > end) break;
      const job = jobs.shift();
      now = Math.max(now, job.at);
      job.act();
    }
    now = end;
  };
  return { transport, sent, pass, steps: () => steps, most: () => most, idle: () => idle, left: () => Math.max(0, free - now) };
}

test("10 a second for the first 50 steps, then faster and faster until as fast as can be", () => {
  assert.equal(wantedRate("paced", 0, 0), 10);
  assert.equal(wantedRate("paced", 49, 9000), 10);
  assert.ok(wantedRate("paced", 50, 900) > wantedRate("paced", 50, 100));
  assert.equal(wantedRate("paced", 5000, 60_000), Infinity);
  assert.deepEqual(["1", "10", "100", "max"].map((s) => wantedRate(s, 0, 0)), [1, 10, 100, Infinity]);
});

for (const rate of [1, 10, 100]) {
  test(`${rate} steps a second are ${rate} steps a second`, () => {
    const { transport, pass, steps } = rig({ speed: String(rate) });
    transport.play();
    pass(10_000);
    assert.ok(Math.abs(steps() - 10 * rate) <= Math.max(2, rate * 0.5), `${steps()} steps`);
  });
}

test("paced play takes one step at a time for five seconds, and thousands soon after", () => {
  const { transport, pass, steps, sent } = rig({ speed: "paced" });
  transport.play();
  pass(4500);
  assert.ok(steps() > 40 && steps() < 52, `${steps()}`);
  assert.ok(sent.every((m) => m.steps === 1));
  pass(15_000);
  assert.ok(steps() > 5000);
  assert.equal(sent.at(-1).steps, null);
});

test("at most two questions are under way, three over a long line at full speed", () => {
  for (const [speed, delay, limit] of [["100", 700, 2], ["10", 700, 2], ["max", 5, 2], ["max", 30, 2], ["max", 700, 3]]) {
    const { transport, pass, most, sent } = rig({ speed, delay });
    transport.play();
    pass(20_000);
    assert.equal(most(), limit, `${speed}, ${delay} ms`);
    assert.ok(sent.length > 20); // and it goes on asking
  }
});

test("at full speed the kernel hardly waits, and Pause seldom waits for more than the question that it works on", () => {
  for (const [delay, beside] of [[6, 6], [16, 0], [16, 15], [40, 6]]) {
    const { transport, pass, idle, left } = rig({ speed: "max", delay, beside });
    transport.play();
    pass(4000);
    const before = idle();
    const late = [];
    for (let i = 0; i < 400; i += 1) {
      pass(7.3);
      late.push(left());
    }
    assert.ok(idle() - before < 0.03 * 400 * 7.3, `${delay}, ${beside}: waited ${idle() - before} ms`);
    late.sort((a, b) => a - b);
    assert.ok(late[380] < 66 + beside + 1.3 * delay, `${delay}, ${beside}: ${late[380]} ms`);
  }
});

test("over a line on which an answer takes a quarter of a second there are twelve answers a second", () => {
  const { transport, pass, sent } = rig({ speed: "max", delay: 190 });
  transport.play();
  pass(20_000);
  assert.ok(sent.length > 11 * 20, `${sent.length}`);
});

test("what a slow kernel missed is not made up for", () => {
  const { transport, pass, sent } = rig({ speed: "10", delay: 3000 });
  transport.play();
  pass(20_000);
  assert.ok(sent.every((m) => m.steps <= 3));
});

test("pause stops asking at once, and play goes on", () => {
  const { transport, pass, sent } = rig({ speed: "max" });
  transport.play();
  pass(1000);
  transport.pause();
  const asked = sent.length;
  pass(5000);
  assert.equal(sent.length, asked);
  transport.play();
  pass(1000);
  assert.ok(sent.length > asked);
});

test("a panel that nobody sees asks once a second", () => {
  let seen = false;
  const { transport, pass, sent } = rig({ speed: "max", seen: () => seen });
  transport.play();
  pass(10_000);
  assert.ok(sent.length >= 8 && sent.length <= 11, `${sent.length}`);
  seen = true;
  pass(2000);
  assert.ok(sent.length > 25);
});

test("what the kernel waited while nobody played does not make a question leave earlier", () => {
  const { transport, pass } = rig({ speed: "max" });
  for (let play = 0; play < 5; play += 1) {
    transport.play();
    pass(400);
    transport.pause();
    pass(5000);
  }
  transport.play();
  pass(400);
  assert.ok(transport.lead < 40, `${transport.lead} ms`);
});
