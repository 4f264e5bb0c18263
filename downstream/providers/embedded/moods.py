"""The colours that words stand for: data only. ``word*`` stands for every word that begins so."""

from __future__ import annotations

COLOURS: dict[str, str] = {
    "#b3362e": "red scarlet piros* vörös* rot rote roter rotes rouge* rojo roja rojos rojas",
    "#2f5d9b": "blue kék* blau* bleu* azul*",
    "#3f7a4b": "green zöld* grün* vert verte verts vertes verde*",
    "#e2b93b": "yellow sárga* sárgá* gelb* jaune* amarill*",
    "#d9772b": "orange* narancs* naranja*",
    "#6b4a86": "purple violet* lila* lilá* ibolya* violeta* morado* morada*",
    "#d98fa0": "pink rose rózsaszín* rosa rosado* rosada*",
    "#6f4a32": "brown barna* barná* braun* brun brune marron* marrón* umber sepia*",
    "#0c0d10": "black fekete* feketé* schwarz* noir noire noirs negro negra",
    "#f6f3ea": "white fehér* weiß* weiss* blanc* blanco* blanca*",
    "#8a8d90": "grey gray szürke* szürké* grau* gris*",
    "#c79a3b": "gold golden goldene arany* doré* dorado* dorada* oro",
    "#b9bec4": "silver* ezüst* silber* argent* plata plateado*",
    "#1d6b70": "teal petrol*",
    "#3aa6a6": "turquoise* türkiz* türkis* turquesa* aqua",
    "#f1e6cf": "cream creamy krém* creme* crème* crema ivory elefántcsont* elfenbein* ivoire marfil bone parchment",
    "#dcc7a1": "beige* sand sandy homok* sable arena linen",
    "#c98a2e": "amber borostyán* bernstein* ambre ámbar",
    "#a9552f": (
        "rust rusty rozsda* rozsdá* rost* rouille óxido copper réz* kupfer* cuivre cobre terracotta* terrakotta*"
    ),
    "#6e1f2e": "burgundy bordó* bordeaux* burgunder* burdeos wine maroon",
    "#1b2a41": "navy ink midnight indigo tinta* encre tinte* marine* marino",
    "#4a5a68": "slate steel pala* schiefer* ardoise pizarra acél* lead",
    "#59664a": "moss mossy olive* moha* oliva* oliv* mousse sage",
    "#b58b3a": "ochre ocher okker* ocker* ocre mustard mustár* senf* moutarde mostaza honey méz*",
    "#cdb7d6": "lavender lilac levendula* lavendel* lavande lavanda",
    "#e88f73": "coral korall* corail peach barack* pfirsich* pêche melocotón salmon",
    "#2e2f33": "charcoal coal szén* kohle* charbon carbón graphite grafit* anthracite antracit* anthrazit*",
    "#cfe0e6": "ice icy jég* eisblau glace hielo sky",
    "#f4f7f8": "snow snowy hó hófehér schnee* neige nieve",
    "#d8b648": "pear straw lemon citrom* zitrone* citron limón wheat búza*",
    "#33503c": "forest pine fir fenyő* tanne* sapin pino emerald smaragd* émeraude esmeralda",
    "#7d1f2b": "blood crimson vér* blut* sangre cherry",
    "#b8b2a6": "stone stein* pierre piedra ash hamu* asche* cendre ceniza smoke füst* fog mist",
    "#2b6f8f": "sea ocean tenger* meer* lake",
}

LIGHTER = "light pale soft pastel világos* halvány* hell* blass* clair* pâle* claro clara pálido*"
DARKER = "dark deep sötét* mély* dunkel* tief* foncé* sombre* profond* oscuro* oscura*"

MOODS: dict[str, str] = {
    # dark to light: words of tone, style, season and place that call for it
    "#141a24 #33445a #64788a #a3b0b4 #e4e2da": (
        "melanchol* sad sorrow* grief griev* mourn* lonel* wistful elegiac quiet szomorú* melankol* csend* traurig* "
        "wehmütig* schwermütig* triste* mélancol* melancól* tristeza"
    ),
    "#2a1512 #6e2f22 #b9622f #e2a35a #f7e3bd": (
        "warm* cosy cozy hearth homely fire* meleg* otthonos* gemütlich* chaleur* cálid* acogedor*"
    ),
    "#08090c #22252c #50545c #9a9a96 #eae6da": "noir detective* crime gritty stark monochrome thriller krimi* bűnügyi",
    "#1f1a3a #4b3f78 #8a79b4 #c9b6d8 #f5e9ee": (
        "dream* ethereal surreal* magic* fairy* álom* mese* mesé* traum* märchen* rêve* onir* féer* sueño* onír* mágic*"
    ),
    "#0f1c2b #2f4d68 #6c93ad #b4cfdb #f1f6f7": (
        "winter* wintry snow* frost* icy ice cold frozen tél tele téli hó havas* fagy* jég* schnee* eisig* kalt* "
        "hiver neige* froid* invierno nieve* frío"
    ),
    "#20120e #5c2c1a #a3562a #d59a4a #f2dfb4": "autumn* harvest* ősz* herbst* automn* otoño* earthy",
    "#16241c #3d5a45 #86a377 #e0b7bd #f8eee6": (
        "spring* blossom* garden* flower* fresh tavasz* kert* virág* frühling* garten* gärten* blüte* printemps "
        "jardin* fleur* primavera jardín* flor flores"
    ),
    "#12303a #2a6f78 #e0a23c #f3cf7a #fdf3d8": (
        "summer* sunny sunshine nyár nyara* nyári sommer* sonnig* été soleil* verano* sol"
    ),
    "#07202b #17495a #3f8391 #9cc4c0 #efeede": (
        "sea ocean* harbour harbor coast* island* ship* tenger* kikötő* sziget* hajó* meer* küste* hafen* insel* mer "
        "océan* île* navire* mar océano* puerto isla* barco*"
    ),
    "#070b1c #1a2348 #41508a #8f9ac8 #e6e2ee": (
        "night* moon* star stars starry éj éjjel* éjszaka* éjszaká* hold holdfény* csillag* nacht* mond* sterne* "
        "nuit* lune étoile* noche* luna estrella*"
    ),
    "#0c1a14 #23402f #55764f #a2b183 #eceed5": (
        "forest* wood woods woodland erdő* wald* wäld* forêt* bosque* selva nature natural"
    ),
    "#0d090d #2f1a24 #67303a #a58078 #e6d9cb": (
        "gothic dark* horror sinister haunted eerie gótikus* sötét* borzong* düster* gruselig* sombre* lúgubre* oscur*"
    ),
    "#21180f #54402a #947351 #cbb08a #f3e7cf": (
        "nostalg* sepia memory memories vintage bittersweet emlék* régi* erinnerung* souvenir* recuerdo*"
    ),
    "#2a1020 #6b2a46 #b45f72 #e3a99f #fae6da": (
        "romantic* romance tender* intimate romantik* szerelm* gyengéd* zärtlich* liebe* tendre* amour* amor* tierno*"
    ),
    "#12181a #37454a #6d8083 #a9b8b6 #e8ebe4": (
        "myster* fog* mist misty rejtély* titok* köd* nebel* geheimnis* brume* brouillard* mystèr* niebla* misterio*"
    ),
    "#182338 #3f5b7c #8aa3b0 #f0c987 #fdf2dc": (
        "hope* dawn uplifting luminous gentle remény* hajnal* hoffnung* espoir* aube esperanza* alba free* szabad* "
        "freiheit* liberté libert*"
    ),
    "#1b2a4a #2f7f86 #e4633f #f4b63f #fdf1d6": (
        "playful* whimsical funny joy* cheerful humorous játékos* vidám* verspielt* fröhlich* ludique* joyeu* alegre* "
        "divertid*"
    ),
    "#26140e #70402a #b97d4d #dfb883 #f6ead2": "desert* dust* western arid sivatag* wüste* désert* desierto*",
}
