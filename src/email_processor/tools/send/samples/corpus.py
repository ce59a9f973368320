# ruff: noqa: RUF001 - letters of many scripts are what this is about, look-alikes included
"""Who writes the sample emails, and what: invented people and everyday words in many scripts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Voice:
    """The people of one language and what they write.

    Names come in two spellings: as they are written, and in the Latin letters of most addresses. `own_domain` is for
    addresses in their own script. `full_name` puts first and last name in order.
    """

    first_names: tuple[tuple[str, str], ...]
    last_names: tuple[tuple[str, str], ...]
    domains: tuple[str, ...]
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]
    full_name: str = "{first} {last}"
    own_domain: str = ""


ENGLISH = Voice(
    first_names=(("John", "john"), ("Mary", "mary"), ("Aisha", "aisha"), ("Liam", "liam"), ("Grace", "grace")),
    last_names=(("Doe", "doe"), ("O'Neill", "oneill"), ("Smith-Jones", "smith-jones"), ("Okafor", "okafor")),
    domains=("example.com", "mail.example.org", "example.net"),
    subjects=("Minutes of Tuesday's meeting", "Your order has shipped", "Quarterly figures", "Lunch on Friday?"),
    sentences=(
        "Thank you for your message; I will come back to you by the end of the week.",
        "The parcel left our warehouse this morning and should reach you within three working days.",
        'Please find the figures attached, and do read the note on "other income" first.',
        "Could we move the call to half past two?",
    ),
)

VOICES = (
    Voice(  # German
        first_names=(("Jürgen", "juergen"), ("Käthe", "kaethe"), ("Jörg", "joerg"), ("Lena", "lena")),
        last_names=(("Müller", "mueller"), ("Weiß", "weiss"), ("von Grünau", "v.gruenau"), ("Schäfer", "schaefer")),
        domains=("beispiel.example", "post.example.org"),
        subjects=("Ihre Rechnung vom März", "Rückfrage zur Lieferung", "Größenänderung: bitte prüfen"),
        sentences=(
            "vielen Dank für Ihre Nachricht, die Prüfung läuft noch bis Donnerstag.",
            "Die Maße der Kisten weichen leicht ab; über die Mehrkosten müssen wir sprechen.",
            "Mit freundlichen Grüßen aus Köln",
        ),
    ),
    Voice(  # French
        first_names=(("Zoé", "zoe"), ("François", "francois"), ("Noël", "noel"), ("Inès", "ines")),
        last_names=(("Lefèvre", "lefevre"), ("d'Alembert", "dalembert"), ("Garçon", "garcon")),
        domains=("courriel.example", "exemple.example.org"),
        subjects=("Réunion déplacée à 14 h", "Votre abonnement arrive à échéance", "Facture n° 2024-118"),
        sentences=(
            "Suite à notre échange, voici le compte rendu ; n’hésitez pas à le compléter.",
            "Le devis a été accepté, nous commençons dès lundi.",
            "À bientôt, et merci encore pour votre accueil.",
        ),
    ),
    Voice(  # Polish
        first_names=(("Łukasz", "lukasz"), ("Małgorzata", "malgorzata"), ("Żaneta", "zaneta")),
        last_names=(("Wójcik", "wojcik"), ("Święcki", "swiecki"), ("Brzęczyszczykiewicz", "brzeczyszczykiewicz")),
        domains=("poczta.example", "przyklad.example.org"),
        subjects=("Potwierdzenie zamówienia", "Zaległa płatność", "Zdjęcia z wycieczki"),
        sentences=(
            "Dziękujemy za zamówienie, przesyłka wyruszyła dziś rano.",
            "Proszę o pilną odpowiedź, bo termin upływa w piątek.",
            "Wszystkie załączniki są w osobnej wiadomości.",
        ),
    ),
    Voice(  # Vietnamese
        first_names=(("Thị Hồng", "hong"), ("Văn Dũng", "dung"), ("Quỳnh", "quynh")),
        last_names=(("Nguyễn", "nguyen"), ("Trần", "tran"), ("Phạm", "pham")),
        domains=("thu.example",),
        subjects=("Xác nhận đặt phòng", "Lịch họp tuần tới", "Báo giá mới"),
        sentences=(
            "Cảm ơn anh đã phản hồi nhanh như vậy.",
            "Chúng tôi sẽ gửi hợp đồng trước chiều thứ Năm.",
            "Xin vui lòng kiểm tra lại số tài khoản giúp tôi.",
        ),
        full_name="{last} {first}",
    ),
    Voice(  # Greek
        first_names=(("Μαρία", "maria"), ("Γιώργος", "giorgos"), ("Ελένη", "eleni")),
        last_names=(("Παπαδοπούλου", "papadopoulou"), ("Νικολάου", "nikolaou"), ("Αγγελής", "angelis")),
        domains=("epistoli.example",),
        subjects=("Πρόσκληση σε εκδήλωση", "Επιβεβαίωση κράτησης", "Σχετικά με το συμβόλαιο"),
        sentences=(
            "Σας ευχαριστώ για την άμεση απάντηση.",
            "Η παραγγελία σας είναι έτοιμη και θα παραδοθεί την Πέμπτη.",
            "Παρακαλώ ελέγξτε τα στοιχεία πριν υπογράψετε.",
        ),
        own_domain="παράδειγμα.example",
    ),
    Voice(  # Ukrainian
        first_names=(("Оксана", "oksana"), ("Тарас", "taras"), ("Їржі", "jiri"), ("Соломія", "solomiia")),
        last_names=(("Шевченко", "shevchenko"), ("Ковальчук", "kovalchuk"), ("Гнатюк", "hnatiuk")),
        domains=("lyst.example",),
        subjects=("Рахунок за грудень", "Зустріч перенесено", "Ваше замовлення прибуло"),
        sentences=(
            "Дякую за листа, відповім завтра зранку.",
            "Документи підписано й надіслано кур'єром.",
            "Будь ласка, перевірте суму у другому рядку.",
        ),
        own_domain="пошта.example",
    ),
    Voice(  # Chinese
        first_names=(("小明", "xiaoming"), ("丽华", "lihua"), ("伟", "wei")),
        last_names=(("王", "wang"), ("李", "li"), ("欧阳", "ouyang")),
        domains=("youjian.example",),
        subjects=("会议纪要", "您的订单已发货", "关于合同的问题"),
        sentences=("感谢您的来信，我们会尽快处理。", "附件是本季度的报表，请查收。", "周五下午三点开会，请准时参加。"),
        full_name="{last}{first}",
        own_domain="例子.example",
    ),
    Voice(  # Japanese
        first_names=(("花子", "hanako"), ("太郎", "taro"), ("さくら", "sakura")),
        last_names=(("山田", "yamada"), ("佐藤", "sato"), ("髙橋", "takahashi")),
        domains=("meeru.example", "example.org"),
        subjects=("【重要】メンテナンスのお知らせ", "お見積もりの件", "会議室変更のご連絡"),
        sentences=(
            "いつもお世話になっております。",
            "ご注文の商品を本日発送いたしました。",
            "ご確認のほどよろしくお願いいたします。",
        ),
        full_name="{last} {first}",
    ),
    Voice(  # Korean
        first_names=(("민준", "minjun"), ("서연", "seoyeon"), ("하늘", "haneul")),
        last_names=(("김", "kim"), ("박", "park"), ("남궁", "namgung")),
        domains=("pyeonji.example",),
        subjects=("회의 일정 변경 안내", "주문하신 상품이 도착했습니다", "견적서 보내드립니다"),
        sentences=(
            "빠른 답변 감사합니다.",
            "첨부 파일을 확인해 주시기 바랍니다.",
            "금요일 오전까지 회신 부탁드립니다.",
        ),
        full_name="{last}{first}",
    ),
    Voice(  # Arabic
        first_names=(("ليلى", "layla"), ("عمر", "omar"), ("فاطمة", "fatima")),
        last_names=(("حداد", "haddad"), ("المصري", "almasri"), ("بن يوسف", "ben.youssef")),
        domains=("barid.example",),
        subjects=("تأكيد الحجز", "فاتورة شهر ديسمبر", "موعد الاجتماع القادم"),
        sentences=(
            "شكرًا لكم على الرد السريع.",
            "تم شحن طلبكم صباح اليوم.",
            "يرجى مراجعة المستندات المرفقة قبل يوم الخميس.",
        ),
        own_domain="مثال.example",
    ),
    Voice(  # Hebrew
        first_names=(("נועה", "noa"), ("איתן", "eitan")),
        last_names=(("לוי", "levi"), ("בן־דוד", "ben-david")),
        domains=("doar.example",),
        subjects=("אישור הזמנה", "פגישה ביום שלישי", "חשבונית מס"),
        sentences=("תודה על התשובה המהירה.", "ההזמנה נשלחה הבוקר.", "נא לבדוק את הפרטים לפני החתימה."),
    ),
    Voice(  # Hindi
        first_names=(("प्रिया", "priya"), ("अर्जुन", "arjun"), ("श्रुति", "shruti")),
        last_names=(("शर्मा", "sharma"), ("क्षत्रिय", "kshatriya"), ("पटेल", "patel")),
        domains=("patra.example",),
        subjects=("बैठक का समय बदला", "आपका ऑर्डर भेज दिया गया है", "दिसंबर का बिल"),
        sentences=(
            "आपके संदेश के लिए धन्यवाद।",
            "सामान आज सुबह गोदाम से निकल चुका है।",
            "कृपया शुक्रवार तक उत्तर दें।",
        ),
        own_domain="उदाहरण.example",
    ),
    Voice(  # Thai
        first_names=(("สมชาย", "somchai"), ("ณัฐธิดา", "natthida")),
        last_names=(("ใจดี", "jaidee"), ("ศรีสุข", "srisuk")),
        domains=("jodmai.example",),
        subjects=("ยืนยันการจอง", "ใบแจ้งหนี้เดือนธันวาคม", "เลื่อนการประชุม"),
        sentences=("ขอบคุณสำหรับข้อความของคุณ ", "สินค้าถูกจัดส่งแล้วเมื่อเช้านี้ ", "กรุณาตรวจสอบเอกสารก่อนวันศุกร์ "),
    ),
)

# Senders that a naive archive would trip over.
ODDITIES = (
    '"../../etc/passwd" <../../etc/passwd@example.com>',
    '"Doe, John \\"JD\\"" <"john doe"@example.com>',
    "Mailer-Daemon <>",
    "JOHN.DOE+Newsletter@EXAMPLE.COM",
    "=?utf-8?Q?Andr=C3=A9?= <andre@example.org>",
    "no-reply@[192.0.2.7]",
    "🦊 Firefox <🦊@example.com>",
    "e\u0301mile@example.org",
    "...",
)
