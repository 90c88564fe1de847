/** What a map shows and what it does not prove. */

export function About() {
  return (
    <section class="about" aria-label="What a map does not prove">
      <p>
        A map shows what the model used, not whether it was right to.{" "}
        <a href="#what-a-map-does-not-prove" onClick={openBelow}>
          What it does not prove
        </a>
      </p>
      <details id="what-a-map-does-not-prove">
        <summary>What a map does not prove</summary>
        <ul>
          <li>
            It tells which parts of the input moved this model’s score. It does not tell that these parts are
            the object, nor that the model will do the same on the next picture.
          </li>
          <li>
            Red and blue are for and against the class that was asked for. Any class can be asked for, also
            one that the model does not predict and that is not in the picture: the map then shows what little
            speaks for it.
          </li>
          <li>
            Colours are relative: they end at the number on the scale. Two maps can be compared only on one
            scale, which is why all maps beside each other share one, and why it can be locked.
          </li>
          <li>
            Methods answer different questions and often disagree. Put several beside each other, and test a
            suspicion with the brush: where a part is used, painting it over changes the score.
          </li>
          <li>
            A changed score after painting can also come from the paint, which the model has never seen.
          </li>
        </ul>
      </details>
    </section>
  );
}

/** The address holds the view, so the link must not change it. */
function openBelow(event: MouseEvent): void {
  event.preventDefault();
  const details = document.getElementById("what-a-map-does-not-prove");
  if (!(details instanceof HTMLDetailsElement)) return;
  details.open = true;
  details.scrollIntoView({ block: "nearest" });
  details.querySelector("summary")?.focus();
}
