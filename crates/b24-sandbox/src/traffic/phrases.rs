//! Texts of messages: short and long, Cyrillic and Latin, with the characters that the portal escapes.

use crate::state::rng::Rng;

const PHRASES: [&str; 30] = [
    "ок",
    "Спасибо!",
    "👍",
    "Доброе утро, коллеги ☀️",
    "Build 114 is green",
    "See you at 11",
    "Отправил счёт № 2041 в ООО «Северный ветер», ждём оплату до пятницы.",
    "Can somebody from support call \"Hill & Sons\" back? They've been waiting since 9:00.",
    "Перенесём созвон на 16:30? У меня встреча с клиентом 🙈",
    "Смета здесь: https://docs.example.com/estimates/77?view=full&lang=ru",
    "if (total > 0 && total < limit) { return true; } // так и оставим?",
    "Клиент спрашивает про сроки: обещали 12.09, реально успеем к 15.09.",
    "The printer on the 3rd floor is out of paper again 🖨️",
    "Добавил в задачу чек-лист, посмотрите пункты 2 и 4.",
    "¿Alguien habla español? A customer from Valencia is on line 2.",
    "[USER=1]Анна[/USER], проверь, пожалуйста, договор: в пункте 5.2 опечатка.",
    "Отпуск с 3 по 17 октября, замещает Пётр.",
    "<b>Важно</b>: завтра с 7:00 до 8:00 обновляем сервер, портал будет недоступен.",
    "Не могу войти: 'Access denied'. Кто может помочь?",
    "Деплой прошёл 🚀🚀🚀 ошибок в логах нет",
    "Übergabe an die Nachtschicht ist erledigt, Details im Wiki.",
    "Курьер будет между 14 и 16, телефон +7 000 000-00-00",
    "Давайте так: сначала согласуем макет, потом считаем бюджет, потом идём к заказчику.",
    "lgtm",
    "Пришлите, пожалуйста, реквизиты ещё раз: письмо попало в спам 😅",
    "Done. C:\\reports\\2026\\q3.xlsx is on the share.",
    "@all кофе приехал ☕",
    "Вчерашний показ прошёл отлично, заказчик просит добавить отчёт по регионам и выгрузку в CSV.",
    "+1",
    "Who ordered the 24\" monitors? The invoice says 4 pcs, we got 3.",
];

const JOINTS: [&str; 4] = [" ", "\n", "\n\n", " — "];

/// A text: usually one phrase, sometimes several, occasionally a long one.
pub(crate) fn text(rng: &mut Rng) -> String {
    let count = match rng.below(20) {
        0..=12 => 1,
        13..=17 => 2 + rng.below(2),
        18 => 4 + rng.below(5),
        _ => 12 + rng.below(30),
    };
    let mut text = String::new();
    for part in 0..count {
        if part > 0 {
            text.push_str(rng.pick(&JOINTS).copied().unwrap_or(" "));
        }
        text.push_str(rng.pick(&PHRASES).copied().unwrap_or("ок"));
    }
    text
}
