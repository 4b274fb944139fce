// How a reader gives images to the section that runs the network: files, the clipboard, the camera, and drawing.

/**
 * Connects the inputs of a section. `answer(source, moving)` shows what the network says about the `ImageData` that `source.read`
 * returns, `forget` clears that again, `decode` reads a file, and `guarded` reports the errors of a function.
 */
function connectInputs(section, { answer, forget, guarded, decode, isOpen }) {
  const part = name => section.querySelector(".live-" + name);

  const answerFile = file => {
    stopCamera();
    return answer({ read: () => decode(file) });
  };
  section.querySelector("input[type=file]").addEventListener("change", ({ target: { files } }) => { if (files[0]) answerFile(files[0]); });
  addEventListener("dragover", event => event.preventDefault());
  for (const [name, transfer] of [["drop", "dataTransfer"], ["paste", "clipboardData"]])
    addEventListener(name, event => {
      const file = isOpen() && event[transfer]?.files[0];
      if (!file) return;
      event.preventDefault();
      answerFile(file);
      section.scrollIntoView();
    });

  const video = section.querySelector("video");
  /** The last image of the camera stays after it was stopped. */
  let stream = null, last = null;
  const camera = { read: () => last ?? pixelsOf(video, video.videoWidth, video.videoHeight) };
  function stopCamera() {
    stream?.getTracks().forEach(track => track.stop());
    stream = null;
    part("camera").ariaPressed = false;
    video.hidden = true;
  }
  part("camera").addEventListener("click", guarded(async () => {
    if (stream) {
      last = camera.read();
      stopCamera();
      return answer(camera);
    }
    last = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      forget();
      throw new Error(`The camera cannot be used: ${error.message}.`);
    }
    video.srcObject = stream;
    video.hidden = false;
    part("camera").ariaPressed = true;
    await video.play();
    while (stream) {
      await answer(camera, true);
      await new Promise(requestAnimationFrame);
    }
  }));

  if (part("pad")) connectPad(part("pad"), part("clear"), (drawing, moving) => {
    stopCamera();
    return answer(drawing, moving);
  }, forget);
  return { stopCamera };
}

/** A drawing area, white on black as the images of MNIST. */
function connectPad(pad, clearButton, answer, forget) {
  const context = pad.getContext("2d", { willReadFrequently: true });
  const clear = () => {
    context.fillStyle = "#000";
    context.fillRect(0, 0, pad.width, pad.height);
  };
  Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: 22, strokeStyle: "#fff" });
  let [last, busy] = [null, false];
  const place = ({ clientX, clientY }) => {
    const box = pad.getBoundingClientRect();
    return [(clientX - box.left) / box.width * pad.width, (clientY - box.top) / box.height * pad.height];
  };
  const drawing = { read: () => context.getImageData(0, 0, pad.width, pad.height) };
  pad.addEventListener("pointerdown", event => {
    pad.setPointerCapture(event.pointerId);
    last = place(event);
  });
  pad.addEventListener("pointermove", event => {
    if (!last) return;
    const next = place(event);
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...next);
    context.stroke();
    last = next;
    if (busy) return;
    busy = true;
    answer(drawing, true).finally(() => { busy = false; });
  });
  for (const name of ["pointerup", "pointercancel"])
    pad.addEventListener(name, () => {
      if (last) answer(drawing);
      last = null;
    });
  clearButton.addEventListener("click", () => {
    clear();
    forget(drawing);
  });
  clear();
}
