// Plays every <video> and <audio> of the page and reports what really happened: what was decoded, heard, shown,
// and where a seek landed. A function of the seconds to play; answers a list, one object a media element.
async (seconds) => {
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const within = (ms, promise, what) =>
    Promise.race([promise, sleep(ms).then(() => { throw new Error(`${what} takes over ${ms} ms`); })]);
  const peakOf = (samples) => samples.reduce((peak, x) => Math.max(peak, Math.abs(x)), 0);

  // The picture shrunk to 16x16 grey values: enough to tell black from drawn and one moment from another.
  const look = (media) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 16;
    const context = canvas.getContext('2d');
    context.drawImage(media, 0, 0, 16, 16);
    const pixels = context.getImageData(0, 0, 16, 16).data;
    return Array.from({length: 256}, (_, i) => (pixels[4 * i] + pixels[4 * i + 1] + pixels[4 * i + 2]) / 3);
  };

  const seekTo = async (media, time) => {
    const seeked = new Promise((resolve) => media.addEventListener('seeked', resolve, {once: true}));
    media.currentTime = time;
    await within(5000, seeked, 'a seek');
    await sleep(100); // Firefox tells of the seek a moment before the frame is there.
    return media.videoWidth ? look(media) : null;
  };

  const examine = async (media) => {
    const report = {tag: media.tagName.toLowerCase(), scheme: media.currentSrc.split(':')[0]};
    media.muted = false;
    media.preload = 'auto';
    if (media.readyState < 2) media.load();
    for (let i = 0; i < 100 && media.readyState < 2 && !media.error; i++) await sleep(100);
    if (media.error) throw new Error(`cannot be decoded: ${media.error.code} ${media.error.message}`);
    if (media.readyState < 2) throw new Error(`does not load (src ${media.outerHTML.slice(0, 60)})`);
    Object.assign(report, {duration: media.duration, width: media.videoWidth, height: media.videoHeight});

    // What a listener would hear, taken off the element while it plays.
    const audio = new AudioContext();
    const source = audio.createMediaElementSource(media);
    const analyser = audio.createAnalyser();
    source.connect(analyser);
    analyser.connect(audio.destination);
    await Promise.race([audio.resume(), sleep(1500)]);
    // Without a sound card Firefox never starts its audio clock: then only the track itself can be judged.
    report.listening = audio.state === 'running';

    let frames = 0;
    if (media.requestVideoFrameCallback) {
      const count = (_, about) => { frames = about.presentedFrames; media.requestVideoFrameCallback(count); };
      media.requestVideoFrameCallback(count);
    }
    await within(5000, media.play(), 'play()');
    const start = performance.now();
    const heard = new Float32Array(2048);
    report.heard = 0;
    while (performance.now() - start < seconds * 1000 && !media.ended) {
      await sleep(40);
      analyser.getFloatTimeDomainData(heard);
      report.heard = Math.max(report.heard, peakOf(heard));
    }
    media.pause();
    Object.assign(report, {played: media.currentTime, wall: (performance.now() - start) / 1000, frames});

    // The whole sound track, decoded apart from the element.
    const bytes = await (await fetch(media.currentSrc)).arrayBuffer();
    report.bytes = bytes.byteLength;
    const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes);
    report.audioDuration = sound.duration;
    report.audioPeak = peakOf(sound.getChannelData(0));
    report.audioOnset = sound.getChannelData(0).findIndex((x) => Math.abs(x) > 0.05) / sound.sampleRate;

    // Seeks forth and back; the element's own length comes from its index, so landing near the end proves it.
    const end = Math.max(0, media.duration - 0.3);
    const last = await seekTo(media, end);
    report.soughtEnd = media.currentTime;
    const first = await seekTo(media, 0);
    report.soughtStart = media.currentTime;
    if (first) {
      report.brightness = first.reduce((sum, x) => sum + x, 0) / 256;
      report.contrast = Math.max(...first) - Math.min(...first);
      report.motion = first.reduce((sum, x, i) => sum + Math.abs(x - last[i]), 0) / 256;
    }
    await audio.close();
    return report;
  };

  const reports = [];
  for (const media of document.querySelectorAll('video, audio')) {
    try {
      reports.push(await examine(media));
    } catch (error) {
      reports.push({tag: media.tagName.toLowerCase(), failure: String(error)});
    }
  }
  return reports;
}
