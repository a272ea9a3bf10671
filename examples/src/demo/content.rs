use std::fmt::Write as _;

use saas_backup_core::{Json, Key, Record, Result};

use super::{Demo, Note, files};

/// When the service begins.
pub(super) const BEGINNING: &str = "2026-01-05T09:00:00Z";

const PEOPLE: [(&str, &str); 3] = [("ada", "Ada Okafor"), ("zoe", "Zoë Lindqvist"), ("lin", "林小明")];

const NOTEBOOKS: [(&str, &str); 4] =
    [("kitchen", "Kitchen"), ("journeys", "Journeys"), ("garden", "Garden"), ("workshop", "Workshop & Ideas")];

/// Notebook, title and text of each note; `[[4]]` becomes a link to the fourth one.
const NOTES: [(&str, &str, &str); 40] = [
    (
        "kitchen",
        "Sourdough",
        "Flour, water, salt, and two days.\n\n1. Feed the starter: [[2]]\n2. Fold every half hour\n3. Bake hot\n\n![The crust](crust.png)",
    ),
    ("kitchen", "The starter", "Equal parts of rye and water, every morning. It raises [[1]] and [[3]]."),
    ("kitchen", "Pancakes on Sunday", "What is left of [[2]], two eggs, milk until it runs."),
    (
        "kitchen",
        "Kimchi 김치",
        "| cabbage | salt | chilli |\n|---|---|---|\n| 2 kg | 200 g | as you dare |\n\nFive days in the cellar, next to [[5]].",
    ),
    ("kitchen", "Plum jam", "Plums from [[22]]. Equal weight of sugar; *less* is fine if you eat fast."),
    ("kitchen", "Crème brûlée", "Slowly, at 100 °C. The torch lives in [[33]]."),
    ("kitchen", "Spices to buy", "- [ ] cardamom\n- [ ] sumac\n- [x] black pepper\n\nFor [[8]]."),
    ("kitchen", "Dal for ten", "Red lentils, ghee, cumin. Spices: [[7]]."),
    ("kitchen", "Tea, properly", "Water just off the boil. Oolong from [[15]]."),
    ("kitchen", "What the oven really does", "Set 200, get 215. Measured for [[1]]; see the table that is attached."),
    ("journeys", "Night train to Vienna", "Platform 9, 20:15. Bed by the window. Then on foot: [[12]]."),
    ("journeys", "Vienna on foot", "From the station to the river in three hours, with cake. ![A map](map.png)"),
    ("journeys", "Packing list", "Less than last time. Ever less. The good knife stays at home: [[33]]."),
    ("journeys", "Ísafjörður", "A harbour, a swimming pool, a library. Rain sideways. We went on to [[16]]."),
    ("journeys", "台北 in spring", "Tea fields above the city, see [[9]]. Noodles at every corner."),
    ("journeys", "Ferry times", "| from | to | at |\n|---|---|---|\n| Stykkishólmur | Brjánslækur | 09:00 |"),
    ("journeys", "A week on the river", "Day 1: rain. Day 2: rain. Day 3: the kingfisher. Plan attached."),
    (
        "journeys",
        "Words to know",
        "> *takk fyrir*, thank you\n>\n> *xièxie* (謝謝), thank you\n\nLearned in [[14]] and [[15]].",
    ),
    ("journeys", "Lost umbrellas", "Vienna ([[11]]), Ísafjörður ([[14]]), the tram."),
    ("journeys", "Where to next?", "Votes so far: mountains 2, sea 1. Costs are in [[40]]."),
    ("garden", "Beds and rows", "North: beans. South: everything that wants sun, like [[25]]. ![The plan](beds.png)"),
    ("garden", "The plum tree", "Planted by grandmother. Bears every second year; then there is [[5]]."),
    ("garden", "Compost", "Brown, green, brown, green. Turn when it steams. Goes to [[21]] in spring."),
    ("garden", "Slugs", "Copper does nothing. Beer works. Ducks work best: [[26]]."),
    ("garden", "Tomatoes 🍅", "Nine kinds, one survivor: *Black Cherry*. Bed: [[21]]."),
    ("garden", "Borrowed ducks", "From the farm on Thursdays. They leave [[25]] alone if fed first."),
    ("garden", "Rain, month by month", "January 61 mm, February 40 mm. The rest is in the file."),
    ("garden", "Seeds to swap", "Have: beans, kale. Want: whatever Zoë saved from [[25]]."),
    ("garden", "Bees", "First swarm on 12 May. The box is from [[34]]."),
    ("garden", "Autumn jobs", "- [x] rake\n- [x] mulch, see [[23]]\n- [ ] cut [[22]]"),
    ("workshop", "Bench, third attempt", "Oak top, beech legs, no wobble. Drawing attached."),
    ("workshop", "Sharpening", "Stone 400, 1000, 6000. Flatten them first. All about [[33]]."),
    ("workshop", "Where things are", "Torch: top drawer. Knife: magnet. Plane: behind [[31]]."),
    ("workshop", "A box for bees", "Ten frames, 22 mm pine, no paint inside. For [[29]]."),
    ("workshop", "Glue", "Hide glue for [[31]], wood glue for the rest, patience for both."),
    ("workshop", "An idea for a lamp", "A paper cone, a branch from [[22]], a dim bulb. ![A sketch](lamp.png)"),
    ("workshop", "Noise", "`hammer > 80 dB`, so not after eight. See [[38]]."),
    ("workshop", "House rules", "1. Sweep.\n2. Put it back: [[33]].\n3. Nobody touches [[31]]."),
    ("workshop", "Old list of ideas", "Nothing here that [[36]] does not say better."),
    (
        "workshop",
        "Costs",
        "Numbers with too many digits for a float: 9007199254740993 and 0.10. For [[20]] and [[31]].",
    ),
];

/// Note, author and text of each comment.
const COMMENTS: [(usize, &str, &str); 14] = [
    (1, "zoe", "Mine is flat as a plate. What now?"),
    (1, "ada", "Feed it *twice*: https://notes.example/n/n_02"),
    (4, "lin", "太咸了! Too salty. Rinse it."),
    (4, "zoe", "I dare."),
    (8, "ada", "Ten people or ten plates?"),
    (11, "zoe", "Bring earplugs."),
    (14, "ada", "The pool was the best part."),
    (17, "lin", "We saw **two** kingfishers."),
    (21, "zoe", "Beans again?"),
    (22, "ada", "It does this year!"),
    (25, "lin", "I have seeds of three more kinds."),
    (31, "zoe", "It wobbles. 🙃"),
    (36, "lin", "I would buy one."),
    (40, "ada", "That is a lot of oak."),
];

/// Fills the account.
pub(super) fn fill(demo: &Demo) -> Result<()> {
    for (id, name) in PEOPLE {
        let data = Json::from_value(&serde_json::json!({ "name": name, "handle": id }))?;
        demo.account.put(Record::new(Key::parse("users", id)?, data));
    }
    for (id, title) in NOTEBOOKS {
        let data = Json::from_value(&serde_json::json!({ "title": title }))?;
        demo.account.put(Record::new(Key::parse("notebooks", id)?, data));
    }
    let authors = PEOPLE.iter().cycle();
    for (index, ((notebook, title, text), (author, _))) in NOTES.into_iter().zip(authors).enumerate() {
        let id = id_of(index + 1);
        let tags = if text.contains("- [") { vec!["list".to_owned()] } else { Vec::new() };
        let note = Note { title: title.to_owned(), body: with_links(text), tags, url: url_of(&id) };
        demo.write_note(&id, author, notebook, &note)?;
    }
    for (index, (note, author, text)) in COMMENTS.into_iter().enumerate() {
        demo.comment(&format!("c_{:02}", index + 1), &id_of(note), author, text)?;
    }
    attach(demo)?;
    demo.trash_note("n_39")
}

fn attach(demo: &Demo) -> Result<()> {
    for (note, name, hue) in
        [("n_01", "crust.png", 190), ("n_12", "map.png", 40), ("n_21", "beds.png", 90), ("n_36", "lamp.png", 230)]
    {
        demo.attach(note, name, "image/png", files::png(160, 96, hue))?;
    }
    let river = files::pdf("A week on the river", &["Day 1: put in below the mill", "Day 3: look up", "Day 7: home"]);
    demo.attach("n_17", "plan (final).pdf", "application/pdf", river)?;
    let bench = files::pdf("Bench", &["Top: oak, 1400 x 400 x 45", "Legs: beech, 70 x 70"]);
    demo.attach("n_31", "drawing.pdf", "application/pdf", bench)?;
    let oven: Vec<String> = (10..25).map(|step| format!("{}\t{}", step * 10, step * 10 + step - 5)).collect();
    demo.attach("n_10", "oven.txt", "text/plain", oven.join("\n"))?;
    let rain: Vec<String> = (1..=12).map(|month| format!("2025-{month:02}  {} mm", 30 + month * 7 % 45)).collect();
    demo.attach("n_27", "Niederschläge 2025.txt", "text/plain", rain.join("\n"))
}

fn id_of(number: usize) -> String {
    format!("n_{number:02}")
}

fn url_of(id: &str) -> String {
    format!("https://notes.example/n/{id}")
}

/// Makes a Markdown link of every `[[number]]`.
fn with_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[[") {
        let Some((number, after)) = after.split_once("]]") else { break };
        out.push_str(before);
        let target = number.parse::<usize>().ok().and_then(|number| Some((number, NOTES.get(number.checked_sub(1)?)?)));
        if let Some((number, (_, title, _))) = target {
            let _ = write!(out, "[{title}]({})", url_of(&id_of(number)));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
