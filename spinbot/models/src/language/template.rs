//! From messages to the one text a model was taught to read: the template in its file, by minijinja.

use super::{Message, Role};
use crate::error::{ModelError, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};

/// ChatML, for files that bring no template.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\n' }}";

/// How a model wants to be spoken to.
pub(super) struct Template {
    environment: Environment<'static>,
    /// Texts of the tokens that begin and end a text.
    ends: [String; 2],
}

impl Template {
    pub(super) fn new(source: Option<&str>, ends: [String; 2]) -> Result<Self> {
        let mut environment = Environment::new();
        // A hostile template may not run for ever.
        environment.set_fuel(Some(1_000_000));
        // As Hugging Face's tokenizers render them.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| refused(&e))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", |_: String| "");
        environment
            .add_template_owned("chat", source.unwrap_or(CHATML).to_owned())
            .map_err(|e| refused(&e))?;
        Ok(Template { environment, ends })
    }

    /// The text of a conversation, up to where the model's answer begins.
    pub(super) fn apply(&self, messages: &[Message]) -> Result<String> {
        let render = |messages: &[Message]| {
            let list: Vec<_> = messages
                .iter()
                .map(|m| context! { role => m.role.name(), content => m.content.as_str() })
                .collect();
            let [bos_token, eos_token] = &self.ends;
            self.environment.get_template("chat")?.render(
                context! { messages => list, add_generation_prompt => true, bos_token, eos_token, enable_thinking => false },
            )
        };
        match (render(messages), messages) {
            // Some (Gemma's, Mistral's first) know no system message: then it leads the first question.
            (Err(_), [system, first, rest @ ..]) if system.role == Role::System => {
                let content = format!("{}\n\n{}", system.content, first.content);
                let joined = [&[Message { role: first.role, content }], rest].concat();
                render(&joined).map_err(|e| refused(&e))
            }
            (rendered, _) => rendered.map_err(|e| refused(&e)),
        }
    }
}

fn refused(error: &Error) -> ModelError {
    ModelError::Language {
        reason: format!("its chat template cannot be used: {error}"),
        advice: "take another file of the model, or let Ollama compute it: `--llm ollama:NAME`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_the_wild_are_rendered_and_hostile_ones_end() {
        let ends = || ["<s>".to_owned(), "</s>".to_owned()];
        let said = |role, content: &str| Message { role, content: content.into() };
        let talk = [said(Role::System, "Be kind."), said(Role::User, "Hi"), said(Role::Assistant, "Hello")];
        let chatml = Template::new(None, ends()).unwrap().apply(&talk).unwrap();
        assert_eq!(
            chatml,
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>assistant\n"
        );
        // Mistral's first, without a system message; Python's methods.
        let mistral = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'].strip() + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}";
        let rendered = Template::new(Some(mistral), ends()).unwrap().apply(&talk).unwrap();
        assert_eq!(rendered, "<s>[INST] Be kind.\n\nHi [/INST]Hello</s>");
        let endless = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
        let fault = Template::new(Some(endless), ends()).unwrap().apply(&talk[1..]).unwrap_err();
        assert!(fault.to_string().contains("chat template"), "{fault}");
        assert!(Template::new(Some("{% if %}"), ends()).is_err());
    }
}
