using System.Text;
using Fleet.Kernel.History;

namespace Fleet.Checking.History;

/// <summary>
/// Finds the id of a name that is still UTF-8 in a buffer, without making a string of a name seen before.
/// </summary>
internal sealed class NameCache(ObjectTable objects)
{
    /// <summary>Longest name of an object, in bytes.</summary>
    public const int LengthMax = 1024;

    // A file of ever new texts must not fill the memory; object names have to be kept anyway.
    private const int TextsMax = 1 << 16;

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    private readonly Dictionary<int, List<(byte[] Name, int Id, string Text)>> _names = [];

    /// <summary>Returns the id of <paramref name="utf8"/> in the table; 0 for an empty name.</summary>
    public int Intern(ReadOnlySpan<byte> utf8) => utf8.IsEmpty ? 0 : Entry(utf8, intern: true).Id;

    /// <summary>Returns one string for equal spellings; used for the few texts that repeat on every line.</summary>
    public string Text(ReadOnlySpan<byte> utf8) => utf8.IsEmpty ? ""
        : _names.Count < TextsMax ? Entry(utf8, intern: false).Text
        : StrictUtf8.GetString(utf8);

    private (int Id, string Text) Entry(ReadOnlySpan<byte> utf8, bool intern)
    {
        var code = default(HashCode);
        code.AddBytes(utf8);
        var hash = code.ToHashCode();
        if (!_names.TryGetValue(hash, out var bucket))
        {
            _names[hash] = bucket = new(1);
        }

        for (var i = 0; i < bucket.Count; i++)
        {
            var known = bucket[i];
            if (utf8.SequenceEqual(known.Name))
            {
                if (intern && known.Id == 0)
                {
                    bucket[i] = known = known with { Id = objects.Intern(known.Text) };
                }

                return (known.Id, known.Text);
            }
        }

        var text = StrictUtf8.GetString(utf8);
        var id = intern ? objects.Intern(text) : 0;
        bucket.Add((utf8.ToArray(), id, text));
        return (id, text);
    }
}
