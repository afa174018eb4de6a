//! From the `model` of a request to a provider and its model.

use super::{ClientPlan, Plan};
use crate::gateway::error::Refusal;
use crate::wire::openai_error::ErrorKind;
use coo_llm_core::record::Endpoint;

/// What a model's name means for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice<'a> {
    /// The provider's place in the plan.
    pub(crate) provider: usize,
    /// The model's name at the provider.
    pub(crate) model: &'a str,
}

impl Plan {
    /// Resolves `name`: as `provider:model`, then as an alias, then at the first
    /// provider that lists it, then at the first that takes any model; a provider's
    /// id alone is its default model. Where the name does not say which provider, only
    /// those count that serve the endpoint.
    ///
    /// # Errors
    /// 404 where nothing has that model; 403 where the client may not use what has; 400
    /// where what has it does not serve the endpoint.
    pub(crate) fn resolve<'a>(
        &'a self,
        name: &'a str,
        client: &ClientPlan,
        endpoint: Endpoint,
    ) -> Result<Choice<'a>, Refusal> {
        let unknown =
            || Refusal::with_body(ErrorKind::ModelNotFound, ErrorKind::model_not_found(name));
        if let Some(choice) = self.named(name) {
            let choice = choice.ok_or_else(unknown)?;
            return if client.allowed[choice.provider] {
                Ok(choice)
            } else {
                Err(Refusal::new(ErrorKind::PermissionDenied))
            };
        }
        let mut forbidden = false;
        let mut unserved = None;
        for listed in [true, false] {
            for (provider, plan) in self.providers.iter().enumerate() {
                let has = if listed {
                    plan.models.contains_key(name)
                } else {
                    plan.takes_any
                };
                if has && client.allowed[provider] {
                    if plan.dialect.place(endpoint).is_some() {
                        return Ok(Choice {
                            provider,
                            model: name,
                        });
                    }
                    unserved.get_or_insert(plan.dialect);
                }
                forbidden |= has;
            }
        }
        Err(if let Some(dialect) = unserved {
            dialect.refusal(endpoint)
        } else if forbidden {
            Refusal::new(ErrorKind::PermissionDenied)
        } else {
            unknown()
        })
    }

    /// `Some` where the name itself says which provider; `Some(None)` where that one
    /// does not have the model.
    fn named<'a>(&'a self, name: &'a str) -> Option<Option<Choice<'a>>> {
        let place = |id: &str| {
            self.providers
                .iter()
                .position(|provider| *provider.id == *id)
        };
        if let Some((id, model)) = name.split_once(':')
            && let Some(provider) = place(id)
        {
            return Some(self.at(provider, model));
        }
        if let Some((provider, model)) = self.aliases.get(name) {
            return Some(self.at(*provider, model));
        }
        place(name).map(|provider| self.at(provider, ""))
    }

    /// A provider's model, or its default where no model is named.
    fn at<'a>(&'a self, provider: usize, model: &'a str) -> Option<Choice<'a>> {
        let plan = &self.providers[provider];
        let model = if model.is_empty() {
            plan.default_model.as_deref()?
        } else {
            model
        };
        (plan.takes_any || plan.models.contains_key(model)).then_some(Choice { provider, model })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::Meter;

    const CONFIG: &str = r#"
llm_providers:
  - { id: one, type: custom, base_url: "http://127.0.0.1:1/v1", api_keys: [k1], model: d1, models: [{ id: m1 }, { id: org/m2 }, { id: d1 }] }
  - { id: two, type: custom, base_url: "http://127.0.0.1:2/v1", api_keys: [k2], models: [{ id: m1 }, { id: m3 }] }
  - { id: any, type: custom, base_url: "http://127.0.0.1:3/v1" }
  - { id: claude, type: anthropic, api_keys: [k3], models: [{ id: claude-m }] }
model_aliases: { fast: "two:m3", free: "any:x:y" }
api_keys:
  - { id: all, key: key-of-all }
  - { id: only-two, key: key-of-two, allowed_providers: [two] }
"#;

    #[test]
    fn names_resolve_in_the_order_that_the_interface_gives() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a sound configuration");
        let plan = Plan::new(&config, &Meter::new(100)).expect("a plan");
        let resolve_for = |endpoint, client: usize, name: &str| match plan.resolve(
            name,
            &plan.clients[client],
            endpoint,
        ) {
            Ok(choice) => format!("{} {}", plan.providers[choice.provider].id, choice.model),
            Err(refusal) => refusal.kind.status().to_string(),
        };
        let resolve = |client, name: &str| resolve_for(Endpoint::ChatCompletions, client, name);
        for (name, all, only_two) in [
            ("one:m1", "one m1", "403"),
            ("two:m1", "two m1", "two m1"),
            ("two:m9", "404", "404"),
            ("one:org/m2", "one org/m2", "403"),
            ("one:", "one d1", "403"),
            ("one", "one d1", "403"),
            ("two", "404", "404"),
            ("d1", "one d1", "403"),
            ("fast", "two m3", "two m3"),
            ("free", "any x:y", "403"),
            ("m1", "one m1", "two m1"),
            ("m3", "two m3", "two m3"),
            ("made-up", "any made-up", "403"),
            ("nobody:m1", "any nobody:m1", "403"),
        ] {
            assert_eq!(
                (&*resolve(0, name), &*resolve(1, name)),
                (all, only_two),
                "{name}"
            );
        }
        let messages = |name: &str| resolve_for(Endpoint::Messages, 0, name);
        assert_eq!(
            messages("one:m1"),
            "one m1",
            "a name that says which is not doubted"
        );
        assert_eq!(messages("m3"), "400", "listed, and not served");
        assert_eq!(messages("claude-m"), "claude claude-m");
        assert_eq!(resolve(0, "claude-m"), "claude claude-m");
    }
}
