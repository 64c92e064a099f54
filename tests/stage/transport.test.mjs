import assert from "node:assert/strict";
import test from "node:test";
import { Transport, wantedRate } from "../../gradlab/stage/transport.js";

const TURN = 3; // milliseconds from an answer to the next question

/** Transports with a clock that the test moves, and one kernel, `delay` ms away and back, that does one thing at a time. */
function rig({ speed, delay = 5, seen = () => true, rateOfKernel = 3, beside = 0, shows = true, views = 1 }) {
  let now = 0;
  let steps = 1;
  let idle = 0;
  let most = 0;
  let pictures = 0;
  const jobs = [];
  const sent = [];
  const later = (act, ms) => jobs[jobs.push({ at: now + ms, act }) - 1];
  const kernel = { inbox: [], free: 0, busy: false, hurry: () => {} };
  const next = () => {
    const message = kernel.inbox.shift();
    kernel.busy = Boolean(message);
    if (!message) return;
    idle += now - kernel.free - TURN;
    if (message.hand) later(() => message.hand() ?? rest(), 0);
    else train(message, now - kernel.free, shows ? message.pictures ?? 1 : 1);
  };
  const rest = () => {
    kernel.free = now;
    later(next, TURN);
  };
  const train = (message, waited, due) => {
    const start = now;
    const end = () => {
      job.act = kernel.hurry = () => {};
      steps += message.steps ?? (now - start) * rateOfKernel;
      const left = kernel.inbox.length ? 0 : due - 1;
      later(() => {
        pictures += 1;
        later(() => message.view.answered(message.id, waited, left), delay / 2);
        if (left) train(message, waited, left);
        else rest();
      }, beside);
    };
    const job = later(end, shows && kernel.inbox.length ? 1 : message.ms ?? 1); // one step at least
    kernel.hurry = shows ? end : () => {};
  };
  const arrive = (message) => {
    kernel.inbox.push(message);
    kernel.hurry();
    if (!kernel.busy) {
      kernel.busy = true;
      kernel.free = Math.min(kernel.free, now - TURN);
      next();
    }
  };
  const transports = Array.from({ length: views }, () => {
    const view = new Transport({
      send: (message) => {
        sent.push({ at: now, ...message });
        most = Math.max(most, view.underWay.size);
        later(() => arrive({ view, ...message }), delay / 2);
      },
      now: () => now,
      later,
      cancel: (job) => job && (job.act = () => {}),
      steps: () => steps,
      run: () => 1,
      seen,
    });
    view.speed = speed;
    return view;
  });
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
  /** A knob moves: how long until the kernel has heard of it goes on a list. */
  const touch = (waits) => {
    const start = now;
    later(() => arrive({ hand: () => void waits.push(now - start) }), delay / 2);
  };
  return { transport: transports[0], transports, sent, pass, touch, steps: () => steps, most: () => most, idle: () => idle, pictures: () => pictures };
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

test("at most two questions are under way, whatever the speed and the line", () => {
  for (const [speed, delay] of [["100", 700], ["10", 700], ["max", 5], ["max", 30], ["max", 700]]) {
    const { transport, pass, most, sent } = rig({ speed, delay });
    transport.play();
    pass(20_000);
    assert.equal(most(), 2, `${speed}, ${delay} ms`);
    assert.ok(sent.length > 20); // and it goes on asking
  }
});

test("at full speed the kernel hardly waits, and a knob waits for no picture", () => {
  for (const [delay, beside] of [[6, 6], [16, 0], [16, 15], [40, 6]]) {
    const { transport, pass, idle, touch, pictures } = rig({ speed: "max", delay, beside });
    transport.play();
    pass(4000);
    const [waited, before] = [idle(), pictures()];
    pass(10_000);
    assert.ok(idle() - waited < 300, `${delay}, ${beside}: waited ${idle() - waited} ms`);
    assert.ok(Math.abs((pictures() - before) / 10 - 1000 / (60 + beside)) < 3, `${pictures() - before} pictures`); // few of them short
    const waits = [];
    for (let i = 0; i < 200; i += 1) {
      touch(waits);
      pass(173);
    }
    waits.sort((a, b) => a - b);
    assert.ok(waits[190] < delay / 2 + 2 * (beside + TURN) + 1, `${delay}, ${beside}: ${waits[190]} ms`);
  }
});

test("where the kernel does not show that something waits a question is one picture, and a knob waits for no more", () => {
  const { transport, pass, touch, pictures } = rig({ speed: "max", delay: 6, beside: 6, shows: false });
  transport.play();
  const waits = [];
  for (let i = 0; i < 100; i += 1) {
    touch(waits);
    pass(173);
  }
  assert.ok(Math.max(...waits) < 75, `${Math.max(...waits)} ms`);
  assert.ok(pictures() > 12 * 17.3, `${pictures()}`);
});

test("over a line on which an answer takes a fifth of a second there are fourteen pictures a second", () => {
  const { transport, pass, pictures, idle } = rig({ speed: "max", delay: 130 });
  transport.play();
  pass(2000);
  const [before, waited] = [pictures(), idle()];
  pass(20_000);
  assert.ok(pictures() - before > 14 * 20, `${pictures() - before}`);
  assert.ok(idle() - waited < 0.1 * 20_000, `${idle() - waited} ms`);
});

test("two views of one panel leave each other time", () => {
  const { transports, pass, pictures, sent } = rig({ speed: "max", views: 2 });
  for (const transport of transports) transport.play();
  pass(10_000);
  assert.ok(pictures() < 650, `${pictures()}`);
  assert.ok(sent.length < 650, `${sent.length}`);
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
  const { transport, pass, sent, pictures } = rig({ speed: "max", seen: () => seen });
  transport.play();
  pass(10_000);
  assert.ok(sent.length >= 8 && sent.length <= 11, `${sent.length}`);
  seen = true;
  pass(2000);
  assert.ok(pictures() > 10 + 25, `${pictures()}`);
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
