// The messages of a test: their times, what became of them, and which message led to which. It draws nothing.
// tools/harness/src/report/messages.rs says what the numbers are. An RPC is two messages, a request (part 0) and a reply
// (part 1); a message's key is twice the number of the RPC, plus the part.
"use strict";
function readMessages({ methods, first, contents, dropped }, numbers) {
  const WIDTH = 8,
    count = Math.floor(numbers.length / WIDTH);
  const from = new Int32Array(count),
    to = new Int32Array(count),
    method = new Uint8Array(count),
    code = new Uint8Array(count),
    sent = new Float64Array(count),
    arrived = new Float64Array(count),
    answered = new Float64Array(count),
    ended = new Float64Array(count);
  // The latest time at which any of the RPCs up to this one was seen.
  const reach = new Float64Array(count);
  const failed = [];
  for (let i = 0, t = 0, latest = 0; i < count; i++) {
    const at = i * WIDTH;
    t += numbers[at + 3];
    const time = (n) => (n < 0 ? -1 : t + n);
    from[i] = numbers[at];
    to[i] = numbers[at + 1];
    method[i] = numbers[at + 2];
    sent[i] = t;
    arrived[i] = time(numbers[at + 4]);
    answered[i] = time(numbers[at + 5]);
    ended[i] = time(numbers[at + 6]);
    code[i] = numbers[at + 7];
    if ((code[i] & 7) > 0) failed.push(t);
    latest = reach[i] = Math.max(latest, t, arrived[i], answered[i], ended[i]);
  }

  const fate = (i) => code[i] & 7,
    isHeldBack = (i) => (code[i] & 8) > 0,
    hasReply = (i) => (code[i] & 16) > 0;
  const text = (i, part) => {
    const one = contents[i - first];
    return one ? one[part] : undefined;
  };

  // The first of the ascending numbers that is `t` or more.
  function firstFrom(list, t) {
    let low = 0,
      high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle] < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // When a message left, and when it arrived (-1: never).
  const leaves = (key) => (key & 1 ? answered[key >> 1] : sent[key >> 1]);
  const arrives = (key) => (key & 1 ? (hasReply(key >> 1) ? ended[key >> 1] : -1) : arrived[key >> 1]);
  const sender = (key) => (key & 1 ? to[key >> 1] : from[key >> 1]);
  const receiver = (key) => (key & 1 ? from[key >> 1] : to[key >> 1]);

  // What the receiver of a message sent next. For a request: what it sent until its handler returned, at last the reply.
  // Undefined: nothing, or the handler has not returned, so that what the receiver sends is another thread's.
  function effect(key) {
    const isRequest = (key & 1) === 0,
      t = arrives(key),
      lane = receiver(key);
    if (t < 0 || (isRequest && answered[key >> 1] < 0)) return undefined;
    let [best, least] = isRequest ? [key + 1, answered[key >> 1]] : [undefined, Infinity];
    for (let i = firstFrom(sent, t); i < count && sent[i] < least; i++) if (from[i] === lane) [best, least] = [2 * i, sent[i]];
    if (isRequest) return best;
    for (let i = firstFrom(reach, t); i < count && sent[i] <= least; i++)
      if (to[i] === lane && answered[i] >= t && answered[i] < least) [best, least] = [2 * i + 1, answered[i]];
    return best;
  }

  // The message that the sender of a message had received last. If several came at the same time, the request that it answers.
  function heard(key) {
    const t = leaves(key),
      lane = sender(key);
    let best,
      most = -1;
    // No message up to the one with this number came later than `reach` says.
    for (let i = firstFrom(sent, t + 0.5) - 1; i >= 0 && reach[i] >= most; i--)
      for (const one of [2 * i, 2 * i + 1]) {
        const came = arrives(one);
        if (receiver(one) !== lane || came < 0 || came > t || came < most) continue;
        if (came > most || one === (key & ~1)) [best, most] = [one, came];
      }
    return best;
  }

  // A server answers a message at once: what it sends later than this many microseconds after the last message it received,
  // it sends on its own.
  const PROMPT = 20000;
  const votes = methods.map((name) => /vote/i.test(name.split(".").pop()));
  const isVote = (i) => votes[method[i]];

  // The term that a request names: its first field whose name ends in "term", except a last or previous term.
  function termOf(i) {
    for (const [, name, number] of (text(i, 0) || "").matchAll(/(\w*term): (\d+)/gi)) if (!/last|prev/i.test(name)) return number;
    return undefined;
  }

  // The first request of an election: the server's first request for votes in this term since `start`, when the server started.
  function firstOfElection(i, start) {
    const term = termOf(i);
    let first = i;
    for (let j = i - 1; term !== undefined && j >= 0 && sent[j] >= start; j--) {
      if (from[j] !== from[i] || !isVote(j)) continue;
      if (termOf(j) !== term) break;
      if (method[j] === method[i]) first = j;
    }
    return first;
  }

  // How long a lane had received nothing when it sent a message.
  function quietBefore(key) {
    const came = heard(key);
    return leaves(key) - (came === undefined ? 0 : arrives(came));
  }

  // What made a lane send a message. `start` is when the lane's server started. One of
  // - { key }: a message that it had received; for a reply, the request;
  // - { timer, quiet }: a timer of the server, and for how many microseconds it had received nothing;
  // - { election }: an election that goes on, and the first request of it;
  // - {}: the lane had received nothing before.
  function trigger(key, start = 0) {
    if (key & 1) return { key: key - 1 };
    const came = heard(key),
      i = key >> 1,
      quiet = quietBefore(key);
    if (from[i] < 0 && isVote(i)) {
      const first = firstOfElection(i, start);
      if (sent[i] - sent[first] > PROMPT) return { election: 2 * first };
      // Nobody is asked to be a candidate. A server that asks in two rounds begins the second when it has replies to the first.
      const isSecondRound = came !== undefined && (came & 1) === 1 && isVote(came >> 1) && method[came >> 1] !== method[i];
      if (!isSecondRound || quiet > PROMPT) return { timer: "election timer", quiet: quietBefore(2 * first) };
    }
    if (from[i] < 0 && quiet > PROMPT) return { timer: "timer", quiet };
    return came === undefined ? {} : { key: came };
  }

  // The RPC that a lane had sent before this one to the same receiver. -1: none.
  function sentBefore(i) {
    let before = i - 1;
    while (before >= 0 && (from[before] !== from[i] || to[before] !== to[i])) before--;
    return before;
  }

  // How many RPCs between the same two, sent after this one, arrived before it.
  function overtaken(i) {
    let by = 0;
    for (let j = i + 1; j < count && sent[j] <= arrived[i]; j++)
      if (from[j] === from[i] && to[j] === to[i] && arrived[j] >= 0 && arrived[j] < arrived[i]) by++;
    return by;
  }

  // The RPCs that a lane sent from one time to another.
  function sentBy(lane, begin, end) {
    const found = [];
    for (let i = firstFrom(sent, begin); i < count && sent[i] <= end; i++) if (from[i] === lane) found.push(i);
    return found;
  }

  // The messages that left from one time to another, and that a lane sent or got.
  function leftAt(lane, begin, end) {
    const found = [];
    for (let i = firstFrom(reach, begin); i < count && sent[i] <= end; i++) {
      if (from[i] !== lane && to[i] !== lane) continue;
      for (const key of [2 * i, 2 * i + 1]) if (leaves(key) >= begin && leaves(key) <= end) found.push(key);
    }
    return found;
  }

  // The message that a lane sent at this microsecond: a reply, or else a request. Undefined: there is none.
  function sentAt(lane, t) {
    let request;
    for (let i = firstFrom(sent, t + 0.5) - 1; i >= 0; i--) {
      if (answered[i] === t && to[i] === lane) return 2 * i + 1;
      if (sent[i] === t && from[i] === lane) request = 2 * i;
    }
    return request;
  }

  return {
    count, methods, dropped, first, described: contents.length, failed, from, to, method, sent, arrived, answered, ended, reach,
    fate, isHeldBack, hasReply, text, firstFrom, leaves, arrives, sender, receiver, effect, heard, trigger,
    sentBefore, overtaken, sentBy, leftAt, sentAt,
  };
}
