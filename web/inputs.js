// How a reader gives images to the section that runs the network: files, the clipboard, the camera, and drawing.

/**
 * Connects the inputs of a section. `answer(read, moving)` shows what the network says about the `ImageData` that `read` returns, `decode`
 * reads a file, and `guarded` reports the errors of a function.
 */
function connectInputs(section, { answer, guarded, decode, isOpen }) {
  const part = name => section.querySelector(".live-" + name);

  /** Images from elsewhere can be inverted, unlike those of the page and drawings. */
  const invertible = read => async () => {
    const image = await read();
    return part("invert").checked ? inverted(image) : image;
  };
  const answerFile = file => {
    stopCamera();
    return answer(invertible(() => decode(file)));
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

  let stream = null;
  function stopCamera() {
    stream?.getTracks().forEach(track => track.stop());
    stream = null;
    part("camera").ariaPressed = false;
    section.querySelector("video").hidden = true;
  }
  part("camera").addEventListener("click", guarded(async () => {
    const video = section.querySelector("video");
    const frame = () => pixelsOf(video, video.videoWidth, video.videoHeight);
    if (stream) {
      const last = frame();
      stopCamera();
      return answer(invertible(() => last));
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      throw new Error(`The camera cannot be used: ${error.message}.`);
    }
    video.srcObject = stream;
    video.hidden = false;
    part("camera").ariaPressed = true;
    await video.play();
    while (stream) {
      await answer(invertible(frame), true);
      await new Promise(requestAnimationFrame);
    }
  }));

  if (part("pad")) connectPad(part("pad"), part("clear"), (read, moving) => {
    stopCamera();
    return answer(read, moving);
  });
  return { stopCamera };
}

/** A drawing area, white on black as the images of MNIST. */
function connectPad(pad, clearButton, answer) {
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
  const drawing = () => context.getImageData(0, 0, pad.width, pad.height);
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
  clearButton.addEventListener("click", clear);
  clear();
}
