using Fleet.Checking.Tests.Rules;

namespace Fleet.Checking.Tests;

/// <summary>
/// Makes the files of <c>histories/</c> anew; run with FLEET_WRITE_HISTORIES set to that folder after the format has
/// changed.
/// </summary>
[Trait("tier", "fast")]
public sealed class CommittedHistories
{
    private static readonly (string File, Func<World> Make)[] All =
    [
        ("use-after-remove.jsonl", () => PlantedHistories.AccessAfterRemove(freed: false)),
        ("waits-for-holder.jsonl", () => Planted("REAP-BEFORE-REMOVE").Clean()),
        ("owner-freed.jsonl", () => Planted("OWNER-ALIVE").Broken()),
        ("stuck-unbind.jsonl", () => Planted("UNBIND-LIVE").Broken()),
        ("client-misuse.jsonl", () => PlantedHistories.AccessAfterRemove(freed: true)),
        ("stuck-behind-a-later-step.jsonl", PlantedHistories.StuckBehindLaterStep),
        ("leak.jsonl", () => Planted("NO-LEAK").Broken()),
        ("two-incarnations.jsonl", () => Planted("ONE-INCARNATION").Broken()),
    ];

    [Fact]
    public void Committed_histories_are_what_their_makers_write()
    {
        var target = Environment.GetEnvironmentVariable("FLEET_WRITE_HISTORIES");
        foreach (var (file, make) in All)
        {
            if (target is not null)
            {
                File.WriteAllBytes(Path.Combine(target, file), make().Bytes());
            }
            else
            {
                Assert.Equal(
                    make().Bytes(), File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "histories", file)));
            }
        }
    }

    // Goal: every rule has a file that breaks it, and one that looks as dangerous and is legal, for whoever writes a
    // checker of their own.
    [Fact]
    public void Every_rule_has_its_files()
    {
        var target = Environment.GetEnvironmentVariable("FLEET_WRITE_HISTORIES");
        foreach (var pair in PlantedHistories.All.DistinctBy(p => p.Rule))
        {
            foreach (var (kind, make) in new[] { ("broken", pair.Broken), ("legal", pair.Clean) })
            {
                var file = Path.Combine("rules", $"{pair.Rule}.{kind}.jsonl");
                if (target is not null)
                {
                    Directory.CreateDirectory(Path.Combine(target, "rules"));
                    File.WriteAllBytes(Path.Combine(target, file), make().Bytes());
                }
                else
                {
                    Assert.Equal(
                        make().Bytes(), File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "histories", file)));
                }
            }
        }
    }

    private static (string Rule, string About, Func<World> Broken, Func<World> Clean) Planted(string rule) =>
        PlantedHistories.All.First(p => p.Rule == rule);
}
