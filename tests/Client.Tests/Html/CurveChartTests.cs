using System.Text;
using System.Xml.Linq;
using CsCheck;
using Fleet.Client.Html;

namespace Fleet.Client.Tests.Html;

[Trait("tier", "fast")]
public sealed class CurveChartTests
{
    // Goal: whatever the figures and names, the drawing is well formed and stays inside its frame.
    [Fact]
    public void Any_figures_give_a_drawing_within_its_frame() =>
        Gen.Select(
            Gen.Select(Gen.Double[0, 1e5], Gen.OneOf(Gen.Double[0, 1e9], Gen.Const(double.NaN))).Array[0, 40],
            Gen.String[0, 20], Gen.Bool).Sample(
            (points, name, isLog) =>
            {
                var curve = new Curve(
                    name, 1,
                    [.. points.Select(point => (point.Item1, double.IsNaN(point.Item2) ? (double?)null : point.Item2))
                        .OrderBy(point => point.Item1)]);
                var page = new StringBuilder();

                new CurveChart(name, [curve], value => $"{value:0} <ms>")
                {
                    IsLogarithmic = isLog,
                    Marks = [(5, name, true)],
                    Bands = [(0, 10, name)],
                }.WriteTo(page);

                if (page.Length == 0)
                    return;

                var svg = XDocument.Parse(page.ToString()).Root!;
                var path = svg.Elements("path").Single().Attribute("d")!.Value;
                foreach (var place in path.Split('M', 'L').Where(place => place.Length > 0))
                {
                    var at = place.Split(' ').Select(double.Parse).ToList();
                    Assert.InRange(at[0], 0, 1080);
                    Assert.InRange(at[1], 0, 264);
                }
            },
            iter: 300);
}
