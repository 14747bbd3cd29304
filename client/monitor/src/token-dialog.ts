/** The dialog that asks for a token, where a server admits nobody without one. */

import { type AccessToken, isToken } from "./access-token.js";
import { make, setText } from "./dom.js";

export class TokenDialog {
  readonly #dialog = make("dialog", "", "token");
  readonly #why = make("p");
  readonly #field = make("input");

  /**
   * @param token gets the token that is entered.
   * @param entered called afterwards.
   */
  constructor(
    readonly token: AccessToken,
    readonly entered: () => void,
  ) {
    const form = make("form");
    form.method = "dialog";
    const title = make("h2", "Token needed");
    title.id = "token-title";
    this.#dialog.setAttribute("aria-labelledby", title.id);
    this.#why.setAttribute("role", "alert");
    this.#field.type = "password";
    this.#field.autocomplete = "off";
    this.#field.required = true;
    const label = make("label", "Token ");
    label.append(this.#field);
    form.append(label, make("button", "Connect"));
    this.#dialog.append(title, this.#why, form);
    document.body.append(this.#dialog);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(this.#field.value.trim());
    });
  }

  get isOpen(): boolean {
    return this.#dialog.open;
  }

  /** Open the dialog, after a refusal. */
  ask(): void {
    if (this.#dialog.open) return;
    const words = this.token.value === null ? "needs a token" : "does not accept this token, or not any more";
    setText(this.#why, `${this.token.server} ${words}. It is kept until this tab is closed.`);
    this.#field.value = "";
    this.#dialog.showModal();
  }

  close(): void {
    this.#dialog.close();
  }

  #submit(text: string): void {
    if (!isToken(text)) {
      setText(this.#why, "A token has letters, digits and !#$%&'*+-.^_`|~, and at most 4,096 of them.");
      return;
    }
    this.token.value = text;
    this.close();
    this.entered();
  }
}
