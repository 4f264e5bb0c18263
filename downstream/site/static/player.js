/*
 * Moves the picture with the reader.
 *
 * The page scrolls as every page does; this script only reads where it is and draws the frame that belongs there.
 * A clip plays in the best way this browser has: its packets fetched by Range and decoded with WebCodecs (AV1, else
 * H.264), a <video> that is sought, or its still. Whatever fails on the way, the still stands in for that clip.
 */
(() => {
  "use strict";

  const root = document.documentElement;
  const stage = document.querySelector(".stage");
  const screen = stage.querySelector("canvas");
  const canvas = screen.getContext("2d", { alpha: false });
  const { ahead_bytes: AHEAD_BYTES, segments } = JSON.parse(document.getElementById("reel").textContent);

  const BACKWARD_GROUPS = 4; // a download runs forward in the file: backwards it must be short to be of use
  const MOST_STRIKES = 3;
  const DECODE_TIMEOUT_MS = 8000;
  const SLOW_MS = 400; // a wait shorter than this needs no words
  const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

  /* ---- Where the reader is ------------------------------------------------------------------------------------ */

  /** Knows which part of the page each segment plays over: { from, to } in document pixels, without gaps. */
  const timeline = {
    spans: [],

    measure() {
      const spans = segments.map(() => ({ from: Infinity, to: 0 }));
      for (const section of document.querySelectorAll("[data-segments]")) {
        const box = section.getBoundingClientRect();
        const played = section.dataset.segments.split(" ");
        played.forEach((id, part) => {
          const span = spans[segments.findIndex((segment) => segment.id === id)];
          const share = box.height / played.length;
          span.from = Math.min(span.from, box.top + scrollY + part * share);
          span.to = Math.max(span.to, box.top + scrollY + (part + 1) * share);
        });
      }
      spans[0].from = 0;
      spans.forEach((span, index) => (span.to = spans[index + 1]?.from ?? root.scrollHeight));
      this.spans = spans;
      this.height = root.clientHeight;
      this.end = Math.max(1, root.scrollHeight - this.height);
      const box = stage.getBoundingClientRect();
      const isBeside = box.width < root.clientWidth * 0.8;
      this.lead = isBeside ? this.height * 0.45 : box.height + (this.height - box.height) * 0.4;
    },

    /** The line being read: it starts at the very top, stays at the reader's eye, and ends at the very bottom. */
    line() {
      const left = this.end - scrollY;
      const below = this.height - this.lead;
      return scrollY + (left < below ? this.height - left : Math.min(scrollY, this.lead));
    },

    /** What is to be seen now: one frame, or near a border two, the later one over the earlier one. */
    layers(fadeShare) {
      const line = Math.min(Math.max(this.line(), 0), root.scrollHeight);
      const found = this.spans.findIndex((span) => line < span.to);
      const index = found < 0 ? this.spans.length - 1 : found;
      for (const later of [index, index + 1]) {
        const half = this.fadeLength(later, fadeShare) / 2;
        const border = this.spans[later]?.from;
        if (later > 0 && half > 0 && Math.abs(line - border) < half) {
          const mix = (line - border + half) / (2 * half);
          return [this.layer(later - 1, line, 1), this.layer(later, line, mix * mix * (3 - 2 * mix))];
        }
      }
      return [this.layer(index, line, 1)];
    },

    layer(index, line, alpha) {
      const { from, to } = this.spans[index];
      const progress = Math.min(Math.max((line - from) / (to - from), 0), 1);
      const frames = segments[index].frames;
      return { index, alpha, frame: Math.min(frames - 1, Math.floor(progress * frames)) };
    },

    fadeLength(later, fadeShare) {
      const [before, after] = [this.spans[later - 1], this.spans[later]];
      if (!before || !after) return 0;
      return Math.min(fadeShare * this.height, 0.5 * Math.min(before.to - before.from, after.to - after.from));
    },
  };

  /* ---- Stills -------------------------------------------------------------------------------------------------- */

  /** One picture for a whole segment; also what a clip falls back to. */
  class Still {
    constructor(segment) {
      this.segment = segment;
      this.loaded = 0;
    }

    prepare() {
      if (this.image) return;
      this.image = new Image();
      this.image.onload = () => {
        this.loaded = 1;
        refresh();
      };
      this.image.src = this.segment.poster;
    }

    picture() {
      this.prepare();
      return this.loaded ? { image: this.image, frame: 0, isExact: true } : null;
    }

    release() {}
  }

  /* ---- Packets and WebCodecs ----------------------------------------------------------------------------------- */

  /** The bytes of one clip and the groups of pictures decoded from them. */
  class Clip {
    constructor(segment, codec, isSoftware) {
      this.segment = segment;
      this.url = codec.file;
      this.keys = codec.keys;
      this.shows = codec.shows;
      this.begins = [codec.start];
      for (const size of codec.sizes) this.begins.push(this.begins.at(-1) + size);
      this.bytes = new Uint8Array(this.begins.at(-1) - codec.start);
      this.has = this.keys.map(() => false);
      this.groups = new Map();
      this.config = configOf(segment, codec, isSoftware);
      this.isSoftware = isSoftware;
      this.strikes = 0;
    }

    get loaded() {
      return this.has.filter(Boolean).length / this.has.length;
    }

    groupOf(frame) {
      return this.keys.findLastIndex((key) => key <= frame);
    }

    packetRange(group) {
      return [this.keys[group], this.keys[group + 1] ?? this.begins.length - 1];
    }

    byteRange(first, last = first) {
      return [this.begins[this.packetRange(first)[0]], this.begins[this.packetRange(last)[1]]];
    }

    byteLength(group) {
      const [from, to] = this.byteRange(group);
      return to - from;
    }

    /** Keeps what falls inside the clip of bytes that begin at ``position`` of its file. */
    store(position, bytes) {
      const from = this.begins[0];
      const inside = bytes.subarray(Math.max(0, from - position), Math.max(0, this.begins.at(-1) - position));
      this.bytes.set(inside, Math.max(0, position - from));
    }

    /** Everything between these two bytes of the file has arrived. */
    arrived(from, to) {
      this.has.forEach((_, group) => {
        const [first, last] = this.byteRange(group);
        if (first >= from && last <= to) this.has[group] = true;
      });
    }

    chunks(group) {
      const [first, last] = this.packetRange(group);
      return Array.from({ length: last - first }, (_, step) => {
        const packet = first + step;
        const from = this.begins[packet] - this.begins[0];
        return new EncodedVideoChunk({
          type: packet === first ? "key" : "delta",
          timestamp: 1000 * (this.shows?.[packet] ?? packet),
          data: this.bytes.subarray(from, this.begins[packet + 1] - this.begins[0]),
        });
      });
    }

    /** The frame, or the nearest one there is: of its own group first, so that a far jump shows its key frame. */
    picture(frame) {
      const own = this.groups.get(this.groupOf(frame));
      const near = own?.pictures.size ? [own] : [...this.groups.values()];
      let best = null;
      for (const group of near) {
        for (const [number, image] of group.pictures) {
          if (!best || Math.abs(number - frame) < Math.abs(best.frame - frame)) best = { image, frame: number };
        }
      }
      return best && { ...best, isExact: best.frame === frame };
    }

    keepOnly(wanted) {
      for (const [number, group] of this.groups) if (!wanted.has(number)) this.drop(number, group);
    }

    drop(number, group) {
      group.isDropped = true;
      group.pictures.forEach((picture) => picture.close());
      this.groups.delete(number);
    }

    prepare() {}

    release() {
      this.keepOnly(new Set());
    }
  }

  const configOf = (segment, codec, isSoftware) => ({
    codec: codec.codec,
    codedWidth: segment.width,
    codedHeight: segment.height,
    hardwareAcceleration: isSoftware ? "prefer-software" : "no-preference",
    optimizeForLatency: true,
    ...(codec.description && { description: Uint8Array.from(atob(codec.description), (char) => char.charCodeAt(0)) }),
  });

  /** Decodes one whole group after the other, and nothing while nothing is wanted. */
  const decoding = {
    wanted: [],
    left: [],
    isBusy: false,

    /** Decodes these groups, the first one first; frames of all others but the group just left are closed. */
    want(wanted) {
      const [here, before] = [wanted[0], this.wanted[0]];
      if (here?.clip !== before?.clip || here?.group !== before?.group) this.left = this.wanted.slice(0, 1);
      this.wanted = wanted;
      for (const clip of clips()) {
        const kept = [...wanted, ...this.left].filter((one) => one.clip === clip).map(({ group }) => group);
        clip.keepOnly(new Set(kept));
      }
      this.run();
    },

    next() {
      return this.wanted.find(({ clip, group }) => clip.has[group] && !clip.groups.has(group) && isPlaying(clip));
    },

    async run() {
      if (this.isBusy) return;
      this.isBusy = true;
      for (let job = this.next(); job; job = this.next()) await this.decode(job.clip, job.group);
      this.isBusy = false;
    },

    async decode(clip, number) {
      const group = { pictures: new Map(), isDropped: false };
      clip.groups.set(number, group);
      try {
        this.open(clip);
        this.receive = (frame) => this.keep(clip, group, frame);
        for (const chunk of clip.chunks(number)) this.decoder.decode(chunk);
        await Promise.race([this.decoder.flush(), sleep(DECODE_TIMEOUT_MS).then(() => Promise.reject(new Error("stuck")))]);
      } catch (error) {
        this.close();
        if (!group.isDropped) clip.drop(number, group);
        // A browser may take back a decoder that it needs elsewhere; that is no fault of the clip.
        if ((this.fault ?? error).name !== "QuotaExceededError") strike(clip);
      }
    },

    open(clip) {
      if (this.decoder?.state !== "configured") {
        this.clip = null;
        this.fault = null;
        this.decoder = new VideoDecoder({
          output: (frame) => this.receive(frame),
          error: (fault) => (this.fault = fault),
        });
      }
      if (this.clip !== clip) this.decoder.configure(clip.config);
      this.clip = clip;
    },

    close() {
      if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
      this.decoder = null;
    },

    /** Hardware decoders own few frames and stop when all are held: theirs are copied and given back at once. */
    async keep(clip, group, frame) {
      const number = Math.round(frame.timestamp / 1000);
      let picture = frame;
      if (!clip.isSoftware) {
        picture = await createImageBitmap(frame);
        frame.close();
      }
      if (group.isDropped) return picture.close();
      group.pictures.set(number, picture);
      refresh();
    },
  };

  /* ---- Loading ------------------------------------------------------------------------------------------------- */

  /** Fetches what lies around the reader, in the direction of reading: this clip, then the next, never everything. */
  const loading = {
    flights: new Set(),

    /** Starts what is missing: at once what should be on the screen, else one quiet download at a time. */
    feed(clip, group, direction) {
      const ahead = this.ahead(clip, group, direction);
      const missing = ahead.findIndex((one) => !one.clip.has[one.group] && !this.isFlying(one));
      if (missing < 0) return;
      const isUrgent = missing === 0;
      const before = ahead.slice(0, missing).reduce((sum, one) => sum + one.clip.byteLength(one.group), 0);
      const isSoon = before < AHEAD_BYTES / 2 || ahead[missing].clip.has.every((has) => !has);
      if (isUrgent) this.abandon(ahead);
      if (isUrgent || (!this.flights.size && isSoon)) this.download(ahead[missing], ahead, direction, isUrgent);
    },

    /** What was on its way for a place the reader has left must not hold up what is wanted now. */
    abandon(ahead) {
      for (const flight of this.flights) if (!ahead.some(({ clip }) => clip === flight.clip)) flight.abort.abort();
    },

    /** The groups a reader may want next, nearest first, as many as the budget holds. */
    ahead(clip, group, direction) {
      const next = playing(sources.indexOf(clip) + direction);
      const steps = (one, from, by) =>
        Array.from({ length: by > 0 ? one.has.length - from : from + 1 }, (_, step) => ({ clip: one, group: from + by * step }));
      const walk = [
        ...steps(clip, group, direction),
        ...(next ? steps(next, direction > 0 ? 0 : next.has.length - 1, direction) : []),
        ...steps(clip, group - direction, -direction),
      ];
      let sum = 0;
      return walk.filter((one, place) => (sum += one.clip.byteLength(one.group)) <= AHEAD_BYTES || place === 0);
    },

    isFlying({ clip, group }) {
      return [...this.flights].some((flight) => flight.clip === clip && group >= flight.first && group <= flight.last);
    },

    download({ clip, group }, ahead, direction, isUrgent) {
      const isWanted = (number) =>
        ahead.some((one) => one.clip === clip && one.group === number) && !clip.has[number] && !this.isFlying({ clip, group: number });
      let [first, last] = [group, group];
      if (direction > 0) while (isWanted(last + 1)) last += 1;
      else while (isWanted(first - 1) && last - first + 1 < BACKWARD_GROUPS) first -= 1;
      this.fly({ clip, first, last, abort: new AbortController() }, isUrgent ? "high" : "low");
    },

    async fly(flight, priority) {
      this.flights.add(flight);
      const { clip, first, last, abort } = flight;
      try {
        await this.read(clip, ...clip.byteRange(first, last), { priority, signal: abort.signal });
        if (!clip.has[first]) throw new Error("cut off");
      } catch (error) {
        if (!abort.signal.aborted) {
          strike(clip, error.isFinal);
          await sleep(1000 * clip.strikes);
        }
      }
      this.flights.delete(flight);
      refresh();
    },

    async read(clip, from, to, options) {
      const response = await fetch(clip.url, { headers: { Range: `bytes=${from}-${to - 1}` }, ...options });
      if (!response.ok) throw Object.assign(new Error(`HTTP ${response.status}`), { isFinal: response.status < 500 });
      const begin = response.status === 206 ? from : 0; // 200: a server without Range sends the whole file
      let position = begin;
      for (const reader = response.body.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) return;
        clip.store(position, value);
        position += value.length;
        clip.arrived(begin, position);
        refresh();
      }
    },
  };

  /* ---- <video> ------------------------------------------------------------------------------------------------- */

  /** Seeks a <video>: the way where there is no WebCodecs, as for a page opened from the disk. */
  class Film {
    constructor(segment, codec) {
      this.segment = segment;
      this.codec = codec;
      this.frame = -1; // the one the <video> shows now
      this.wanted = 0;
      this.sought = -1;
    }

    get loaded() {
      const { buffered, duration } = this.video ?? {};
      return buffered?.length && duration ? buffered.end(buffered.length - 1) / duration : 0;
    }

    prepare() {
      if (this.video) return;
      const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, preload: "auto" });
      video.addEventListener("loadeddata", () => this.seek());
      video.addEventListener("seeked", () => this.arrive(video));
      this.follow(video);
      video.addEventListener("progress", refresh);
      video.addEventListener("error", () => this.video === video && strike(this, true));
      video.src = this.codec.file;
      this.video = video;
      this.watch(video);
    }

    /** Some phones, saving power, never load a <video> that does not play: then the still is the picture. */
    async watch(video) {
      do await sleep(4000);
      while (this.video === video && video.networkState === HTMLMediaElement.NETWORK_LOADING);
      if (this.video === video && video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) strike(this, true);
    }

    seek() {
      const { video, wanted } = this;
      if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.seeking || this.sought === wanted) return;
      this.sought = wanted;
      video.currentTime = (wanted + 0.5) / this.segment.rate;
    }

    /** "seeked" may come before the new frame can be drawn; browsers that tell when it can are followed instead. */
    follow(video) {
      video.requestVideoFrameCallback?.((_, { mediaTime }) => {
        if (this.video !== video) return;
        this.frame = Math.round(mediaTime * this.segment.rate);
        this.follow(video);
        refresh();
      });
    }

    async arrive(video) {
      const { sought } = this;
      this.seek();
      if (video.requestVideoFrameCallback) await sleep(SLOW_MS / 2); // none is told of where the frame stays the same
      if (this.video !== video || this.sought !== sought) return;
      this.frame = sought;
      refresh();
    }

    picture(frame) {
      this.prepare();
      this.wanted = frame;
      this.seek();
      return this.frame < 0 ? null : { image: this.video, frame: this.frame, isExact: this.frame === frame };
    }

    release() {
      const video = this.video;
      this.video = null;
      this.frame = this.sought = -1;
      video?.removeAttribute("src");
      video?.load();
    }
  }

  /* ---- Putting it on the screen -------------------------------------------------------------------------------- */

  let sources = [];
  let fadeShare = 0.3;
  let direction = 1;
  let lastScroll = scrollY;
  let isDue = false;
  let drawn = ""; // what the canvas holds, in one word
  let onScreen = -1; // the segment it shows

  const isPlaying = (source) => sources.includes(source);
  const clips = () => sources.filter((source) => source instanceof Clip);
  const playing = (index) => (sources[index] instanceof Clip ? sources[index] : null);

  /** A clip that failed too often, or for good, shows its still from now on. */
  function strike(source, isFinal = false) {
    source.strikes = (source.strikes ?? 0) + 1;
    const index = sources.indexOf(source);
    if (index < 0 || (!isFinal && source.strikes < MOST_STRIKES)) return;
    sources[index] = new Still(source.segment);
    source.release();
    refresh();
  }

  function refresh() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(draw);
  }

  function draw() {
    isDue = false;
    if (!sources.length || document.visibilityState !== "visible") return;
    if (scrollY !== lastScroll) direction = scrollY > lastScroll ? 1 : -1;
    lastScroll = scrollY;
    const layers = timeline.layers(fadeShare);
    const main = layers.at(-1).alpha >= 0.5 ? layers.at(-1) : layers[0];
    for (const layer of layers) layer.shown = sources[layer.index].picture(layer.frame);
    paint(layers);
    report(main);
    provide(main, layers);
  }

  function paint(layers) {
    const key = layers.map(({ index, alpha, shown }) => [index, alpha.toFixed(3), shown?.frame, sources[index].constructor.name]).join();
    if (key === drawn) return;
    drawn = key;
    // At first the poster beneath is this very picture.
    screen.hidden = layers[0].index === 0 && !layers[0].shown && onScreen !== 0;
    layers.forEach(({ index, alpha, shown }, place) => {
      canvas.globalAlpha = alpha;
      if (shown) canvas.drawImage(shown.image, 0, 0, screen.width, screen.height);
      // Where a slow machine lags behind its reader, an older frame of the same clip may stay.
      else if (place === 0 && index !== onScreen) paintLight(index);
    });
    onScreen = layers.length === 1 ? layers[0].index : -1;
  }

  /** Until a picture is there: its light, from top to bottom. */
  function paintLight(index) {
    const light = canvas.createLinearGradient(0, 0, 0, screen.height);
    segments[index].light.forEach((colour, step, all) => light.addColorStop(step / (all.length - 1), colour));
    canvas.fillStyle = light;
    canvas.fillRect(0, 0, screen.width, screen.height);
  }

  const cells = [...stage.querySelectorAll(".reel > *")];
  const poster = stage.querySelector("img");
  const notice = stage.querySelector(".loading");
  let slow = 0;

  /** Tells the truth about what is loaded, what is shown and what is still missing. */
  function report({ index, frame, shown }) {
    cells.forEach((cell, place) => {
      const played = place < index ? 1 : place > index ? 0 : (frame + 1) / segments[index].frames;
      setShare(cell, "--loaded", sources[place].loaded);
      setShare(cell, "--played", played);
    });
    const state = { segment: segments[index].id, wanted: frame, frame: shown?.frame ?? "", source: sources[index].constructor.name };
    Object.assign(stage.dataset, state);
    if (poster.alt !== segments[index].title) poster.alt = segments[index].title;
    if (shown?.isExact) {
      clearTimeout(slow);
      slow = 0;
      notice.hidden = true;
    } else {
      slow ||= setTimeout(() => (notice.hidden = false), SLOW_MS);
    }
  }

  function setShare(cell, name, share) {
    const value = share.toFixed(2);
    if (cell.style.getPropertyValue(name) !== value) cell.style.setProperty(name, value);
  }

  /** Loads and decodes what the reader sees now and will see next. */
  function provide({ index, frame }, layers) {
    sources.forEach((source, place) => (Math.abs(place - index) > 1 ? source.release() : source.prepare()));
    const clip = playing(index);
    const here = clip ? { clip, group: clip.groupOf(frame) } : edge(index + direction);
    if (!here) return decoding.want([]);
    const partners = layers.filter((layer) => layer.index !== index && playing(layer.index)).map(groupOfLayer);
    const next = following(here);
    decoding.want([here, ...partners, next, next && following(next)].filter(Boolean));
    loading.feed(here.clip, here.group, direction);
  }

  const groupOfLayer = ({ index, frame }) => ({ clip: playing(index), group: playing(index).groupOf(frame) });

  /** The group at which a reader who goes on enters that clip. */
  function edge(index) {
    const clip = playing(index);
    return clip && { clip, group: direction > 0 ? 0 : clip.has.length - 1 };
  }

  /** The group that comes next in the direction of reading, in this clip or the next one. */
  function following({ clip, group }) {
    return group + direction in clip.has ? { clip, group: group + direction } : edge(sources.indexOf(clip) + direction);
  }

  /* ---- Choosing the way ---------------------------------------------------------------------------------------- */

  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  async function canDecode(segment, codec, isSoftware) {
    try {
      return (await VideoDecoder.isConfigSupported(configOf(segment, codec, isSoftware))).supported;
    } catch {
      return false;
    }
  }

  /** [name of the way, how to make a segment's source]. */
  async function choose() {
    if (calm.matches || navigator.connection?.saveData) return ["stills", (segment) => new Still(segment)];
    if (self.VideoDecoder && location.protocol.startsWith("http")) {
      for (const [place, codec] of segments[0].codecs.entries()) {
        for (const isSoftware of [true, false]) {
          if (await canDecode(segments[0], codec, isSoftware)) {
            return [`webcodecs-${codec.name}`, (segment) => new Clip(segment, segment.codecs[place], isSoftware)];
          }
        }
      }
    }
    const video = document.createElement("video");
    const place = segments[0].codecs.findIndex(({ codec }) => video.canPlayType(`video/mp4; codecs="${codec}"`) === "probably");
    if (place >= 0) return [`video-${segments[0].codecs[place].name}`, (segment) => new Film(segment, segment.codecs[place])];
    return ["stills", (segment) => new Still(segment)];
  }

  async function start() {
    const [name, sourceOf] = await choose();
    sources.forEach((source) => source.release());
    sources = segments.map(sourceOf);
    fadeShare = name === "stills" ? 0.5 : 0.3;
    drawn = "";
    root.dataset.player = name;
    layOut();
  }

  function layOut() {
    timeline.measure();
    refresh();
  }

  /** Pictures nobody sees are closed; the packets stay, so that coming back is quick. */
  function rest() {
    if (document.visibilityState === "visible") return refresh();
    sources.forEach((source) => source.release());
    decoding.wanted = [];
    drawn = "";
  }

  addEventListener("scroll", refresh, { passive: true });
  addEventListener("resize", layOut);
  addEventListener("pageshow", layOut);
  document.addEventListener("visibilitychange", rest);
  new ResizeObserver(layOut).observe(document.querySelector(".story"));
  calm.addEventListener("change", start);
  start();
})();
