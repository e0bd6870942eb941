using System.Globalization;
using System.Text;

namespace Fleet.Checking.Tests.Exports;

/// <summary>Reads the EDN that is written: maps, keywords, integers, strings. Written apart from the writer.</summary>
internal static class Edn
{
    public static List<Dictionary<string, object?>> Lines(string text) =>
        [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        {
            var place = 0;
            var map = (Dictionary<string, object?>)Read(line, ref place)!;
            Assert.Equal(line.Length, place);
            return map;
        })];

    private static object? Read(string text, ref int place)
    {
        Skip(text, ref place);
        switch (text[place])
        {
            case '{':
                place++;
                var map = new Dictionary<string, object?>();
                for (Skip(text, ref place); text[place] != '}'; Skip(text, ref place))
                {
                    var key = Assert.IsType<string>(Read(text, ref place));
                    Assert.StartsWith(":", key, StringComparison.Ordinal);
                    map.Add(key[1..], Read(text, ref place));
                }

                place++;
                return map;
            case '"':
                return Quoted(text, ref place);
            default:
                var from = place;
                while (place < text.Length && !char.IsWhiteSpace(text[place]) && text[place] is not (',' or '}' or '{'))
                {
                    place++;
                }

                var word = text[from..place];
                return long.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
                    ? number
                    : word;
        }
    }

    private static string Quoted(string text, ref int place)
    {
        var value = new StringBuilder();
        for (place++; text[place] != '"'; place++)
        {
            if (text[place] != '\\')
            {
                value.Append(text[place]);
            }
            else if (text[++place] == 'u')
            {
                value.Append((char)int.Parse(
                    text.AsSpan(place + 1, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                place += 4;
            }
            else
            {
                value.Append(text[place]);
            }
        }

        place++;
        return value.ToString();
    }

    private static void Skip(string text, ref int place)
    {
        while (place < text.Length && (char.IsWhiteSpace(text[place]) || text[place] == ','))
        {
            place++;
        }
    }
}
