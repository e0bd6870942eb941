using System.Text;
using System.Xml;
using System.Xml.Linq;
using Fleet.Checking;
using Fleet.Checking.Explanation;
using Fleet.Checking.History;
using Fleet.Client.Commands;
using Fleet.Kernel.History;

namespace Fleet.Client.Tests.Html;

/// <summary>The page of a finding: small, self-contained, and safe whatever the history says.</summary>
[Trait("tier", "fast")]
public sealed class ExplanationPageTests
{
    private const int SizeMax = 300 * 1024;

    // Goal: the page is small whatever the length of the run.
    // Method: a device that allocated and freed for a million records before its mapping was removed while held.
    [Fact]
    public void A_page_of_a_million_records_stays_small()
    {
        var page = PageOf("h1", pairs: 500_000, out var count);

        Assert.True(count >= 1_000_000);
        Assert.InRange(Encoding.UTF8.GetByteCount(page), 5_000, SizeMax);
        Assert.Contains("1,000,0", page, StringComparison.Ordinal);
    }

    [Fact]
    public void A_page_is_well_formed_and_loads_nothing()
    {
        var page = Parsed(PageOf("h1", pairs: 3, out _));

        var names = page.Descendants().Select(e => e.Name.LocalName).ToHashSet();
        Assert.Contains("svg", names);
        Assert.Contains("table", names);
        Assert.DoesNotContain(names, n => n is "script" or "img" or "link" or "iframe" or "object" or "base");
        Assert.DoesNotContain(
            page.Descendants().Attributes(),
            a => a.Name.LocalName is "src" or "href" or "onload" or "onclick" or "style");
        Assert.DoesNotContain("//", page.Root!.Value, StringComparison.Ordinal);
        Assert.Contains("default-src 'none'", page.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("\"><img src=x onerror=alert(1)>")]
    [InlineData("</title></style><b>")]
    [InlineData("&lt;i&gt;'`${x}")]
    [InlineData("\u202egnp\u0007\u001b[31m\u0000\ud800]]>")]
    public void Names_from_outside_stay_text(string hostile)
    {
        var text = PageOf(hostile, pairs: 2, out _);
        var page = Parsed(text);

        Assert.DoesNotContain(page.Descendants(), e => e.Name.LocalName is "script" or "img" or "b" or "i"
            && !page.Descendants("div").Where(d => (string?)d.Attribute("class") == "tile").Contains(e.Parent));
        Assert.DoesNotContain("<script", text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("<img", text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain(text, c => (char.IsControl(c) && c is not '\n') || c == '\u202e');
    }

    [Fact]
    public void A_finding_names_its_steps_apart()
    {
        var page = Parsed(PageOf("h1", pairs: 1, out _));

        var steps = page.Descendants("span").Where(s => (string?)s.Attribute("class") == "step").Select(s => s.Value);
        Assert.Equal(["Let", "Then", "however,"], steps.Where(s => s.Length > 0));
    }

    private static XDocument Parsed(string page)
    {
        using var reader = XmlReader.Create(
            new StringReader(page), new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore });
        return XDocument.Load(reader);
    }

    private static string PageOf(string host, int pairs, out long count)
    {
        var objects = new ObjectTable();
        var header = new HistoryHeader { Profile = "P0", Source = "live", Clock = "monotonic:t", Quiescent = true };
        var checker = new HistoryChecker(header, objects, []);
        foreach (var record in Held(objects, host, pairs))
        {
            checker.Add(record);
        }

        var finding = checker.Finish().Findings.Single(f => f.Rule == "REAP-BEFORE-REMOVE");
        var kept = new ExplainedRecords(finding, objects);
        foreach (var record in Held(objects, host, pairs))
        {
            kept.Add(record);
        }

        count = kept.Count;
        var explanation = Explainer.Explain(finding, header, kept, objects);
        Assert.True(explanation.Verified);
        return ExplanationPage.Of(new("run#1", header, objects, explanation, [("run", host)])).ToString();
    }

    /// <summary>A life of a device in which one allocation is held while its mapping is removed.</summary>
    private static IEnumerable<HistoryRecord> Held(ObjectTable objects, string host, int pairs)
    {
        var device = objects.Intern($"dev:{host}/0000:01:00.0");
        var map = objects.Intern($"map:{host}/0000:01:00.0/bar0");
        var client = objects.Intern($"client:{host}");
        var (seq, time) = (0L, 0L);
        HistoryEvent Event(EventKind kind) => new()
        {
            Kind = kind,
            At = new(device, 1, ++seq, 1),
            TimeNs = ++time,
            Other = map,
            Start = 0x1000_0000,
            SizeBytes = 1 << 20,
            Text = host,
            Actor = host,
        };
        Operation Of(OperationKind kind, long number, int page) => new()
        {
            Kind = kind,
            Number = ++time,
            Client = client,
            Device = device,
            Outcome = OperationOutcome.Ok,
            SentNs = ++time,
            DoneNs = ++time,
            At = new(device, 1, ++seq, 1),
            Alloc = new(device, 1, number),
            Address = 0x1000_0000 + ((ulong)page << 12),
            SizeBytes = 4096,
        };

        yield return Event(EventKind.Incarnation) with { Fn = "first" };
        yield return Event(EventKind.BindBegin);
        yield return Event(EventKind.ChunkAdd) with { Other = 0 };
        yield return Event(EventKind.BindEnd);
        yield return Of(OperationKind.Alloc, 1, 0);
        for (var i = 0; i < pairs; i++)
        {
            yield return Of(OperationKind.Alloc, i + 2, 1);
            yield return Of(OperationKind.Free, i + 2, 1);
        }

        yield return Event(EventKind.UnbindBegin);
        yield return Event(EventKind.TeardownBegin);
        yield return Event(EventKind.TeardownEnd);
        yield return Of(OperationKind.Free, 1, 0);
        yield return Event(EventKind.UnbindEnd);
    }
}
