"""The words by which the embedded director reads a story: data only.

Words are in lower case; ``word*`` stands for every word that begins so. Words before a bar name a thing outright and
count three times what the hints after it do; ``first_light`` stands for two words.
"""

from __future__ import annotations

from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather

WORDS: dict[str, dict[Setting | TimeOfDay | Weather | Subject, str]] = {
    "en": {
        Setting.FOREST: (
            "forest* wood woods woodland jungle grove thicket pines birches firs | bark moss fern ferns undergrowth"
        ),
        Setting.SEA: (
            "sea seas ocean shore beach harbour* harbor* coast* island* port quay pier jetty lighthouse bay surf | "
            "tide tides wave waves salt ferry sail sails ship ships deck sand gulls"
        ),
        Setting.LAKE: "lake lakes pond ponds lagoon reservoir fjord | rowed oar oars reeds swan",
        Setting.MOUNTAINS: (
            "mountain* peak peaks summit alps glacier cliff cliffs ridge valley* pass | slope rock rocks climbed"
        ),
        Setting.RIVER: "river* stream brook canal creek waterfall | bridge bank ford current",
        Setting.ROAD: (
            "road* highway lane path track trail railway | walked journey travelled drove cart lorry truck car train "
            "bus wheels miles"
        ),
        Setting.PLAIN: (
            "field fields meadow* plain plains prairie desert steppe moor heath farmland | grass wheat corn horizon"
        ),
        Setting.GARDEN: (
            "garden* orchard* park courtyard vineyard greenhouse | blossom* flower* lawn hedge rose roses tree trees "
            "playground"
        ),
        Setting.CITY: (
            "city cities town street* avenue square station rooftops | crowd traffic shop shops hotel café market "
            "office neon tram subway apartment"
        ),
        Setting.VILLAGE: (
            "village* hamlet farm farmhouse cottage cottages | church chapel school smithy barn chimney market"
        ),
        Setting.INTERIOR: (
            "room rooms kitchen bedroom attic hall library chamber indoors cellar parlour armchair castle | window "
            "windowsill bed table stove door stairs upstairs downstairs lamp chair ceiling floor desk walls house "
            "home"
        ),
        TimeOfDay.DAWN: "dawn daybreak sunrise cockcrow first_light morning mornings | woke breakfast early",
        TimeOfDay.DAY: (
            "noon midday afternoon afternoons daytime daylight | sun sunny sunshine lunch market bright school"
        ),
        TimeOfDay.DUSK: "dusk evening evenings twilight sunset nightfall | supper dinner darkening lamplight dim",
        TimeOfDay.NIGHT: (
            "night nights midnight moonlight moonlit starlight | dark darkness moon stars lantern candle sleep dream*"
        ),
        Weather.CLEAR: "sunshine sunny cloudless | sun sunlight bright clear blue golden summer warm heat",
        Weather.CLOUDS: "cloud clouds cloudy overcast storm stormy thunder* gale | wind winds windy grey gray gust",
        Weather.FOG: "fog fogs foggy mist misty haze | smoke steam pale vanished dim",
        Weather.RAIN: "rain rains rained raining rainy drizzle downpour | wet umbrella puddle* dripping soaked drops",
        Weather.SNOW: (
            "snow snows snowed snowing snowy snowflake* frost frosty blizzard hail ice icy winter | frozen cold "
            "january february december sledge"
        ),
        Weather.PETALS: "blossom* petal petals springtime | spring april may bloom* flowered autumn leaves falling",
        Subject.FIGURE: (
            "giant king queen stranger traveller* traveler* soldier sailor fisherman captain keeper widow | man woman "
            "father mother grandmother grandfather uncle aunt she he"
        ),
        Subject.TWO_FIGURES: "couple lovers twins sisters brothers | we us together both husband wife",
        Subject.CHILD: "child boy girl baby | son daughter little",
        Subject.CHILDREN: "children boys girls kids | playing playground games",
        Subject.CROWD: "crowd crowds people procession army audience | soldiers everyone everybody dancers",
        Subject.HOUSE: "house cottage cabin hut farmhouse | home roof chimney threshold",
        Subject.TREE: "tree trees oak willow | branches trunk roots quince* boughs",
        Subject.BOAT: "boat boats ship ships ferry raft canoe rowboat | oar oars sail sails rowed deck mast",
        Subject.BIRDS: (
            "bird birds gull gulls swallow swallows crow crows raven* swan swans geese linnet | wings flew nest "
            "feather*"
        ),
        Subject.TOWER: "tower towers lighthouse castle steeple belfry | church bell dam",
        Subject.BRIDGE: "bridge bridges viaduct",
        Subject.ANIMAL: "deer stag horse horses dog wolf fox | hoof hooves fur herd",
        Subject.GATE: "gate gates gateway archway | wall walls door doorway hinges",
        Subject.LANTERN: "lantern lanterns lamp lamps candle candles streetlamp | lit flame glow",
    },
    "hu": {
        Setting.FOREST: "erdő* erdei rengeteg* liget* fenyves* | fák moha* páfrány* lomb*",
        Setting.SEA: (
            "tenger* óceán* part partján tengerpart* kikötő* sziget* móló* öböl* világítótoron* | hullám* hajó* "
            "sirály* dagály* apály* vitorl* homok*"
        ),
        Setting.LAKE: "tó tavon tavat tóban tónál tóra tavak tópart* balaton* | evez* nádas* hattyú*",
        Setting.MOUNTAINS: "hegy* csúcs* gleccser* szikla* sziklá* völgy* hágó* | lejtő* mászott",
        Setting.RIVER: "folyó* patak* duna dunán tisza vízesés* csatorna* | híd hidon hídon meder sodrás*",
        Setting.ROAD: (
            "út úton utat országút* ösvény* vasút* sín sínek | ment gyalog* autó* vonat* busz* szekér* kocsi*"
        ),
        Setting.PLAIN: "mező* rét réten puszta* pusztán síkság* alföld* sivatag* szántó* | fű búza horizont* legelő*",
        Setting.GARDEN: "kert* park parkban udvar* gyümölcsös* szőlő* | virág* rózsa* rózsá* fa fán",
        Setting.CITY: (
            "város* utca utcá* tér téren pályaudvar* állomás* háztető* | villamos* bolt* üzlet* szálloda* piac* "
            "forgalom*"
        ),
        Setting.VILLAGE: "falu* falv* tanya* tanyá* major* | templom* iskola* iskolá* kémény* kunyhó*",
        Setting.INTERIOR: (
            "szoba* szobá* konyha* konyhá* padlás* terem* könyvtár* kamra* pince* pincé* | ablak* ágy* asztal* ajtó* "
            "lépcső* szék* lámpa* lámpá* ház háza házat házban otthon*"
        ),
        TimeOfDay.DAWN: "hajnal* virradat* pirkadat* napkelte* reggel* | ébred* felkelt kora",
        TimeOfDay.DAY: "délután* délben délelőtt* nappal dél | nap napfény* süt sütött iskola*",
        TimeOfDay.DUSK: "este* esté* alkony* szürkület* napnyugta* naplement* | vacsora* sötéted*",
        TimeOfDay.NIGHT: "éj éjjel* éjszaka* éjszaká* éjfél* holdfény* | sötét* hold csillag* álom* alud* aludt",
        Weather.CLEAR: "napfény* napsüt* verőfény* | nap kék arany* meleg nyár* nyár derült",
        Weather.CLOUDS: "felhő* borús vihar* mennydörg* | szél szélben szürke* fúj fújt",
        Weather.FOG: "köd* pára párá* | füst* gőz* homály*",
        Weather.RAIN: "eső esőben esőt esett zápor* szemerk* | vizes nedves esernyő* csepp*",
        Weather.SNOW: "hó havat hóban havas havaz* hóesés* fagy* jég jeg* tél télen téli | hideg* január* december*",
        Weather.PETALS: "szirom* szirmok virágz* kivirág* | tavasz* április* május* ősz* levelek hull*",
        Subject.FIGURE: (
            "óriás* király* idegen* vándor* katona* katoná* halász* | férfi* nő asszony* apa apja anya anyja nagymama "
            "nagyapa öreg* ember"
        ),
        Subject.TWO_FIGURES: "szerelmes* testvér* pár | ketten együtt férj* feleség*",
        Subject.CHILD: "gyermek gyerek fiú lány kislány kisfiú | gyereke* kis",
        Subject.CHILDREN: "gyermekek gyerekek fiúk lányok | játsz* játék*",
        Subject.CROWD: "tömeg* nép népe sokaság* emberek | mindenki* népek nemzet* társadalom* közösség*",
        Subject.HOUSE: "ház házat háza házban kunyhó* lakás* | otthon* tető* lakóhely*",
        Subject.TREE: "fa fák fát tölgy* fűzfa* almafa* körtefa* | ágak ágai törzs* gyökér*",
        Subject.BOAT: "hajó* csónak* bárka* komp* ladik* | evez* vitorl*",
        Subject.BIRDS: "madár* madar* sirály* fecske* fecské* varjú* varja* hattyú* | szárny* repül* fészek",
        Subject.TOWER: "torony* torn* világítótoron* kastély* vár várban | templom* harang*",
        Subject.BRIDGE: "híd hidat hídon hidak",
        Subject.ANIMAL: "szarvas* őz ló lovat lovak kutya* kutyá* farkas* róka* róká*",
        Subject.GATE: "kapu* | fal falak ajtó* ország* határ*",
        Subject.LANTERN: "lámpás* lámpa* lámpá* gyertya* gyertyá* | láng* fény fénye",
    },
    "de": {
        Setting.FOREST: "wald* wäld* forst* hain dickicht* | moos farn* baumstämme unterholz",
        Setting.SEA: (
            "meer meere meeres ozean* küste* strand* hafen* häfen insel* bucht* leuchtturm* mole | welle* schiff* "
            "möwe* segel* flut ebbe salz* deck"
        ),
        Setting.LAKE: "see seeufer teich* weiher* stausee* | ruder* schilf* schwan*",
        Setting.MOUNTAINS: (
            "berg* gebirge* gipfel* alpen gletscher* felsen* klippe* tal täler schlucht* | hang kletter*"
        ),
        Setting.RIVER: "fluss* flüsse* bach bäche strom kanal* wasserfall* | brücke* ufer",
        Setting.ROAD: (
            "straße* landstraße* weg wege pfad* gleis* schiene* autobahn* | wanderte ging fuhr auto* zug bus wagen "
            "karren"
        ),
        Setting.PLAIN: "feld felder* wiese* ebene* heide* wüste* steppe* acker äcker* | gras weizen horizont",
        Setting.GARDEN: (
            "garten* gärten* park* hof innenhof* obstgarten* | blume* blüte* rose rosen hecke* baum bäume*"
        ),
        Setting.CITY: (
            "stadt* städt* gasse* platz bahnhof* dächer* | markt* laden läden hotel* verkehr* straßenbahn* büro*"
        ),
        Setting.VILLAGE: "dorf* dörf* bauernhof* weiler* gehöft* | kirche* schule* scheune* schornstein*",
        Setting.INTERIOR: (
            "zimmer* küche* stube* dachboden* saal bibliothek* kammer* keller* | fenster* bett* tisch* tür* treppe* "
            "stuhl* lampe* haus hause"
        ),
        TimeOfDay.DAWN: "morgengrauen morgendämmerung sonnenaufgang morgen morgens | erwachte frühstück früh",
        TimeOfDay.DAY: "mittag* nachmittag* tag tags | sonne* schule* hell",
        TimeOfDay.DUSK: "abend* dämmerung* sonnenuntergang* zwielicht | abendessen dunkelte",
        TimeOfDay.NIGHT: "nacht* nächte* mitternacht* mondlicht | dunkel* finster* mond sterne* traum* schlief",
        Weather.CLEAR: "sonnenschein* sonnig* wolkenlos* | sonne blau* golden* sommer* warm* heiter",
        Weather.CLOUDS: "wolke* bewölkt sturm* stürm* gewitter* donner* | wind* grau*",
        Weather.FOG: "nebel* dunst* | rauch* dampf*",
        Weather.RAIN: "regen* regnet* schauer | nass* naß regenschirm* pfütze* tropfen*",
        Weather.SNOW: "schnee* schneite verschneit* frost* eis eisig* winter* hagel | kalt* kälte januar dezember",
        Weather.PETALS: "blüte* blütenblätter erblüht* | frühling* april mai herbst* laub",
        Subject.FIGURE: (
            "riese* könig* königin fremde* wanderer soldat* fischer kapitän | mann frau vater mutter großmutter "
            "großvater alte alter"
        ),
        Subject.TWO_FIGURES: "liebespaar paar geschwister zwillinge | wir uns beide beiden zusammen",
        Subject.CHILD: "kind junge mädchen bub | kleine kleiner sohn tochter",
        Subject.CHILDREN: "kinder kindern jungen | spielten spielen spiel",
        Subject.CROWD: "menge menschen leute volk | alle jeder",
        Subject.HOUSE: "haus häuser* hütte* | dach heim schwelle",
        Subject.TREE: "baum bäume* eiche* linde* apfelbaum birnbaum | äste stamm wurzel*",
        Subject.BOAT: "boot boote* schiff* fähre* kahn floß | ruder* segel*",
        Subject.BIRDS: "vogel* vögel* möwe* schwalbe* krähe* rabe* schwan* | flügel* nest feder*",
        Subject.TOWER: "turm türme* leuchtturm* schloss* schloß burg* | kirche* glocke*",
        Subject.BRIDGE: "brücke*",
        Subject.ANIMAL: "hirsch* reh rehe pferd* hund* wolf* fuchs* füchse",
        Subject.GATE: "tor tore pforte* | mauer* tür*",
        Subject.LANTERN: "laterne* lampe* kerze* | flamme* schein",
    },
    "fr": {
        Setting.FOREST: "forêt* bois bosquet* futaie* jungle* | mousse fougère* sapin*",
        Setting.SEA: (
            "mer mers océan* plage* port ports côte île* îles rivage* phare* baie* quai* jetée* | vague* bateau* "
            "navire* mouette* marée* voile* sel sable"
        ),
        Setting.LAKE: "lac lacs étang* lagune* | rame* rama roseau* cygne*",
        Setting.MOUNTAINS: "montagne* sommet* alpes glacier* falaise* vallée* rocher* col | pente* grimp*",
        Setting.RIVER: "rivière* fleuve* ruisseau* canal cascade* | pont rive* courant",
        Setting.ROAD: "route* chemin* sentier* voie rails autoroute* | marcha marchait voiture* train* bus charrette*",
        Setting.PLAIN: "champ champs plaine* prairie* désert* lande* steppe* pré prés | herbe* blé horizon",
        Setting.GARDEN: "jardin* verger* parc parcs cour potager* | fleur* rose roses haie* arbre* pelouse*",
        Setting.CITY: (
            "ville* rue rues place gare boulevard* avenue* toits | marché* boutique* hôtel* foule* tramway* métro*"
        ),
        Setting.VILLAGE: "village* hameau* ferme fermes | église* école* grange* cheminée*",
        Setting.INTERIOR: (
            "chambre* cuisine* grenier* salon* bibliothèque* cave salle pièce | fenêtre* lit table* porte portes "
            "escalier* chaise* lampe* maison"
        ),
        TimeOfDay.DAWN: "aube aurore matin matins matinée lever | réveilla petit_déjeuner tôt",
        TimeOfDay.DAY: "midi après_midi journée jour | soleil clair école",
        TimeOfDay.DUSK: "crépuscule soir soirs soirée couchant | dîner assombri*",
        TimeOfDay.NIGHT: "nuit nuits minuit | sombre noir obscurité lune étoile* rêve* dorm*",
        Weather.CLEAR: "ensoleillé* soleil | bleu bleue doré* été chaud chaude",
        Weather.CLOUDS: "nuage* nuageux orage* tempête* tonnerre | vent vents gris grise",
        Weather.FOG: "brouillard* brume* | fumée* vapeur*",
        Weather.RAIN: "pluie* pleuv* pleut averse* bruine | mouillé* parapluie* flaque* gouttes",
        Weather.SNOW: "neige* neigeait givre gel glace hiver* grêle | froid froide janvier décembre",
        Weather.PETALS: "pétale* floraison éclos* | printemps avril mai automne feuilles",
        Subject.FIGURE: (
            "géant roi reine étranger* voyageur* soldat* pêcheur* capitaine | homme femme père mère grand_mère "
            "grand_père vieux vieille"
        ),
        Subject.TWO_FIGURES: "amants couple jumeaux | nous deux ensemble mari épouse",
        Subject.CHILD: "enfant garçon fillette fille | petit petite fils",
        Subject.CHILDREN: "enfants garçons filles | jouaient jouer jeux",
        Subject.CROWD: "foule gens peuple | tous chacun",
        Subject.HOUSE: "maison maisons chaumière* cabane* | toit seuil foyer",
        Subject.TREE: "arbre arbres chêne* saule* pommier* poirier* | branches tronc racine*",
        Subject.BOAT: "bateau* barque* navire* canot* | rame* voile*",
        Subject.BIRDS: "oiseau* mouette* hirondelle* corbeau* cygne* | aile ailes nid plume*",
        Subject.TOWER: "tour tours phare* château* clocher* | église* cloche*",
        Subject.BRIDGE: "pont ponts",
        Subject.ANIMAL: "cerf* biche* cheval chevaux chien* loup* renard*",
        Subject.GATE: "portail* grille* | mur murs porte portes",
        Subject.LANTERN: "lanterne* lampe* bougie* réverbère* | flamme* lueur*",
    },
    "es": {
        Setting.FOREST: "bosque* selva* arboleda* | musgo* helecho* pinos",
        Setting.SEA: (
            "mar mares océano* playa* puerto* costa* isla* orilla* faro* bahía* muelle* | ola olas barco* nave naves "
            "gaviota* marea* vela velas sal arena"
        ),
        Setting.LAKE: "lago lagos estanque* laguna* | remo remos remaba juncos cisne*",
        Setting.MOUNTAINS: "montaña* cumbre* cima* sierra* glaciar* acantilado* valle* roca* peña* | ladera* subió",
        Setting.RIVER: "río ríos arroyo* canal cascada* | puente* ribera* corriente*",
        Setting.ROAD: (
            "camino* carretera* sendero* vía vías autopista* | caminó caminaba coche* tren trenes autobús* carro*"
        ),
        Setting.PLAIN: "campo campos llanura* pradera* desierto* prado* páramo* | hierba* trigo horizonte*",
        Setting.GARDEN: "jardín jardines huerto* huerta* parque* patio* | flor flores rosa* seto* árbol*",
        Setting.CITY: (
            "ciudad* calle calles plaza* estación avenida* tejados | mercado* tienda* hotel* tranvía* metro multitud*"
        ),
        Setting.VILLAGE: "pueblo* aldea* granja* caserío* | iglesia* escuela* establo* chimenea*",
        Setting.INTERIOR: (
            "habitación* cuarto* cocina* desván* sala salón biblioteca* sótano* alcoba* | ventana* cama camas mesa "
            "mesas puerta* escalera* silla* lámpara* casa"
        ),
        TimeOfDay.DAWN: "alba amanecer madrugada aurora mañana mañanas | despertó desayuno temprano",
        TimeOfDay.DAY: "mediodía tarde día | sol escuela claro",
        TimeOfDay.DUSK: "anochecer crepúsculo atardecer ocaso | cena oscurec*",
        TimeOfDay.NIGHT: "noche noches medianoche | oscur* luna estrella* sueño* dorm*",
        Weather.CLEAR: "soleado* despejado* | sol azul dorad* verano* calor cálid*",
        Weather.CLOUDS: "nube nubes nublado* tormenta* trueno* tempestad* | viento* gris grises",
        Weather.FOG: "niebla* bruma* neblina* | humo vapor*",
        Weather.RAIN: "lluvia* llovía llueve llover llovizna* aguacero* | mojad* paraguas charco* gotas",
        Weather.SNOW: "nieve* nevaba nevada* escarcha* hielo* helad* invierno* granizo* | frío fría enero diciembre",
        Weather.PETALS: "pétalo* floreci* | primavera* abril mayo otoño hojas",
        Subject.FIGURE: (
            "gigante* rey reina forastero* viajero* soldado* pescador* capitán | hombre mujer padre madre abuela "
            "abuelo viejo vieja"
        ),
        Subject.TWO_FIGURES: "amantes pareja gemelos hermanos | nosotros ambos juntos marido esposa",
        Subject.CHILD: "niño niña muchacho muchacha chico chica | pequeño pequeña hijo hija",
        Subject.CHILDREN: "niños niñas muchachos chicos | jugaban jugar juegos",
        Subject.CROWD: "multitud* gente pueblo | todos",
        Subject.HOUSE: "casa casas cabaña* choza* | techo umbral hogar",
        Subject.TREE: "árbol* roble* sauce* manzano* peral* | ramas tronco raíces",
        Subject.BOAT: "barco* barca* bote botes buque* | remo* vela velas",
        Subject.BIRDS: "pájaro* ave aves gaviota* golondrina* cuervo* cisne* | ala alas nido pluma*",
        Subject.TOWER: "torre torres faro* castillo* campanario* | iglesia* campana*",
        Subject.BRIDGE: "puente*",
        Subject.ANIMAL: "ciervo* venado* caballo* perro* lobo* zorro*",
        Subject.GATE: "portón portones verja* | muro muros puerta* tapia*",
        Subject.LANTERN: "farol* linterna* lámpara* vela velas | llama* resplandor*",
    },
    # Characters, not words: Japanese and Chinese share them and put no space between words.
    "han": {
        Setting.FOREST: "森 林 | 木 葉 叶",
        Setting.SEA: "海 港 浜 岸 島 岛 湾 | 波 船 潮 砂",
        Setting.LAKE: "湖 池 沼",
        Setting.MOUNTAINS: "山 峰 崖 谷 | 岩 坂",
        Setting.RIVER: "川 河 江 滝 | 橋 桥 流",
        Setting.ROAD: "道 路 | 車 车 歩 走 駅",
        Setting.PLAIN: "野 原 畑 田 | 草",
        Setting.GARDEN: "庭 園 园 | 花 桜 樱",
        Setting.CITY: "街 町 市 城 | 店 駅 站",
        Setting.VILLAGE: "村 | 寺 家",
        Setting.INTERIOR: "部屋 室 房间 屋 | 窓 窗 床 机 扉 门",
        TimeOfDay.DAWN: "朝 暁 黎明 早晨",
        TimeOfDay.DAY: "昼 午 | 陽 阳",
        TimeOfDay.DUSK: "夕 暮 黄昏 傍晚",
        TimeOfDay.NIGHT: "夜 晩 晚 | 月 星 闇 暗 夢 梦",
        Weather.CLEAR: "晴 | 青空 陽 夏",
        Weather.CLOUDS: "雲 云 嵐 雷 | 風 风",
        Weather.FOG: "霧 雾 霞 | 煙 烟",
        Weather.RAIN: "雨 | 傘 伞 濡",
        Weather.SNOW: "雪 氷 冰 冬 | 寒 冷",
        Weather.PETALS: "花 桜 樱 | 春 秋",
        Subject.FIGURE: "男 女 王 老人 | 人 母 父",
        Subject.TWO_FIGURES: "二人 两人 夫婦 夫妻",
        Subject.CHILD: "子供 少年 少女 孩子 | 子",
        Subject.CHILDREN: "子供たち 孩子们",
        Subject.CROWD: "人々 人们 群",
        Subject.HOUSE: "家 | 屋",
        Subject.TREE: "木 树 樹",
        Subject.BOAT: "船 舟",
        Subject.BIRDS: "鳥 鸟 燕 鶴 鹤",
        Subject.TOWER: "塔 灯台 灯塔 城",
        Subject.BRIDGE: "橋 桥",
        Subject.ANIMAL: "鹿 馬 马 犬 狗 狐",
        Subject.GATE: "門 门 鳥居",
        Subject.LANTERN: "灯 提灯 灯笼 | 火",
    },
}

TURNS: dict[str, frozenset[str]] = {
    language: frozenset(phrase.strip() for phrase in phrases.split(","))
    for language, phrases in {
        "en": (
            "one day, one morning, one night, one evening, one afternoon, one winter, one summer, the next, the last, "
            "that night, that evening, that morning, that winter, that summer, that autumn, every afternoon, every "
            "morning, every day, all day, at dawn, at dusk, at night, at first, at last, in the, on the, years, years "
            "later, months, weeks, later, afterwards, then, when the, when she, when he, meanwhile, "
            "finally, once, after the, by the, downstairs, outside, it takes, it was, now the"
        ),
        "hu": (
            "egy nap, egyszer, egy reggel, egy este, egy éjjel, másnap, aznap, később, évek, azután, aztán, akkor, "
            "amikor, végül, mikor, reggel, este, éjjel, hajnalban, délután, közben, minden délután, minden "
            "reggel"
        ),
        "de": (
            "eines tages, eines morgens, eines abends, am nächsten, am morgen, am abend, in der, später, jahre, dann, "
            "als, endlich, schließlich, danach, jeden nachmittag, jeden morgen, inzwischen, einmal, nachts"
        ),
        "fr": (
            "un jour, un matin, un soir, une nuit, le lendemain, le soir, cette nuit, plus tard, puis, quand, "
            "lorsque, enfin, alors, ensuite, après, chaque jour, chaque matin, des années"
        ),
        "es": (
            "un día, una mañana, una tarde, una noche, al día, a la, aquella noche, más tarde, luego, después, "
            "cuando, por fin, entonces, cada tarde, cada mañana, años, mientras"
        ),
    }.items()
}
"""Openings that begin something new: a good place for a new picture."""
