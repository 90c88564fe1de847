/** What a report holds inside: it shows everything without this, and sorts, filters, turns and slides with it. */

import { enhanceComparisons } from "./comparisons";
import { enhanceGalleries } from "./galleries";
import { enhanceTables } from "./tables";

enhanceTables(document);
enhanceComparisons(document);
enhanceGalleries(document);
